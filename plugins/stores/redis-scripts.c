/* redis-scripts.c — the scripts that run inside the server, and so the layout of a store's keys.
 *
 * A script runs alone: nobody sees half of what it does. All keys begin with `{PREFIX}:`, here T, whose
 * braces put them into one slot of a cluster.
 *
 *   T r:KEY             hash: a record; fields named and written as docs/stores.md says, defaults left out
 *   T i:KIND:STATUS     sorted set: keys of such records, all with score 0, so in the order of the alphabet
 *   T x:KIND:STATUS     sorted set: those of them that have ended and have a ttl, by the time they outlive it
 *   T due:QUEUE         sorted set: pending calls, by turn
 *   T later:QUEUE       sorted set: pending calls with a not-before; a claim moves those whose time has come
 *   T kinds             set: all kinds there ever were, but `call`
 *   T items:KEY:FENCE   list: index of the first item that is kept, then the items
 *   T logs:KEY          set: the fences that have such a list
 *   T changed           channel: keys of records that were written or removed, as SENDER/KEY
 *   T work:QUEUE        channel: a pending call is in the queue, SENDER/KEY
 *
 * The rule that keeps a record whole: a script that runs out of memory is stopped at its first write if that
 * may need memory, and at no later one. So the first write of each is one that may, and everything that could
 * be refused is looked at before. DEL and ZREM need none: removing always works. Messages go out before the
 * first write too, as a user may lack the right to publish; nobody can act on one before the script has
 * ended.
 *
 * Every write leaves its own name in the field `write`. A client that sent one, lost the connection and sends
 * it again finds that name, and knows that it was heard the first time.
 *
 * Numbers: a script's are doubles, exact for times until the year 2255. What may be larger (revisions,
 * fences) is compared as text and counted by the server's own HINCRBY.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "redis-scripts.h"

/* KEYS: record. ARGV: tag, key, expected, write, sender, status, kind, queue, turn, not-before, expiry, ms to
 * live, field, value… "" stands for none. Answers OK, EXISTS, GONE, or the revision there is. */
static const char put_text[] =
    "local record, tag, key = KEYS[1], ARGV[1], ARGV[2]\n"
    "local old = redis.call('HMGET', record, 'revision', 'write', 'status', 'kind', 'queue')\n"
    "local was = old[1]\n"
    "if was and old[2] == ARGV[4] then return 'OK' end\n"
    "if ARGV[3] == '0' then\n"
    "  if was then return 'EXISTS' end\n"
    "elseif was ~= ARGV[3] then return was or 'GONE' end\n"
    "local part, old_part = ARGV[7] .. ':' .. ARGV[6], false\n"
    "local is_work = part == 'call:pending' and ARGV[8] ~= ''\n"
    "redis.call('PUBLISH', tag .. 'changed', ARGV[5] .. '/' .. key)\n"
    "if is_work then redis.call('PUBLISH', tag .. 'work:' .. ARGV[8], ARGV[5] .. '/' .. key) end\n"
    "if was then\n"
    "  redis.call('HSET', record, 'write', ARGV[4])\n" /* stops here where there is no memory */
    "  redis.call('DEL', record)\n"
    "end\n"
    "redis.call('HSET', record, 'write', ARGV[4], unpack(ARGV, 13))\n"
    "local old_status = old[3] or 'pending'\n"
    "if was then old_part = (old[4] or 'call') .. ':' .. old_status end\n"
    "if part ~= old_part then\n"
    "  if old_part then redis.call('ZREM', tag .. 'i:' .. old_part, key) end\n"
    "  redis.call('ZADD', tag .. 'i:' .. part, 0, key)\n"
    "  if ARGV[7] ~= 'call' then redis.call('SADD', tag .. 'kinds', ARGV[7]) end\n"
    "end\n"
    "if old_part == 'call:pending' and old[5] then\n"
    "  redis.call('ZREM', tag .. 'due:' .. old[5], key)\n"
    "  redis.call('ZREM', tag .. 'later:' .. old[5], key)\n"
    "end\n"
    "if is_work then\n"
    "  if ARGV[10] ~= '0' then redis.call('ZADD', tag .. 'later:' .. ARGV[8], ARGV[10], key)\n"
    "  else redis.call('ZADD', tag .. 'due:' .. ARGV[8], ARGV[9], key) end\n"
    "end\n"
    "if old_part and old_status ~= 'pending' and old_status ~= 'running' then\n"
    "  redis.call('ZREM', tag .. 'x:' .. old_part, key)\n"
    "end\n"
    "if ARGV[11] ~= '' then\n"
    "  redis.call('ZADD', tag .. 'x:' .. part, ARGV[11], key)\n"
    "  if ARGV[12] ~= '' then\n"
    "    redis.call('PEXPIRE', record, ARGV[12])\n"
    "    for _, fence in ipairs(redis.call('SMEMBERS', tag .. 'logs:' .. key)) do\n"
    "      redis.call('PEXPIRE', tag .. 'items:' .. key .. ':' .. fence, ARGV[12])\n"
    "    end\n"
    "  end\n"
    "end\n"
    "return 'OK'\n";

/* For those that remove records: so goes all that a call has emitted. */
static const char forget_text[] = "local function forget_items(tag, key)\n"
                                  "  local logs = tag .. 'logs:' .. key\n"
                                  "  for _, fence in ipairs(redis.call('SMEMBERS', logs)) do\n"
                                  "    redis.call('DEL', tag .. 'items:' .. key .. ':' .. fence, logs)\n"
                                  "  end\n"
                                  "end\n";

/* KEYS: record. ARGV: tag, key, expected, sender. Answers OK, GONE, or the revision there is. A key that
 * holds something else than a hash goes where no revision is expected. */
static const char remove_text[] =
    "local record, tag, key = KEYS[1], ARGV[1], ARGV[2]\n"
    "if redis.call('EXISTS', record) == 0 then return 'GONE' end\n"
    "local old = redis.pcall('HMGET', record, 'revision', 'status', 'kind', 'queue')\n"
    "if old.err then old = {} end\n"
    "if ARGV[3] ~= '0' and old[1] ~= ARGV[3] then return old[1] or '0' end\n"
    "redis.call('PUBLISH', tag .. 'changed', ARGV[4] .. '/' .. key)\n"
    "redis.call('DEL', record)\n"
    "forget_items(tag, key)\n"
    "local part = (old[3] or 'call') .. ':' .. (old[2] or 'pending')\n"
    "redis.call('ZREM', tag .. 'i:' .. part, key)\n"
    "redis.call('ZREM', tag .. 'x:' .. part, key)\n"
    "if part == 'call:pending' and old[4] then\n"
    "  redis.call('ZREM', tag .. 'due:' .. old[4], key)\n"
    "  redis.call('ZREM', tag .. 'later:' .. old[4], key)\n"
    "end\n"
    "return 'OK'\n";

/* What the next three begin with: the parts, KIND:STATUS, that a filter means. ARGV: tag, kind or '*',
 * statuses separated by blanks. */
static const char parts_text[] =
    "local tag, kinds, parts = ARGV[1], {ARGV[2]}, {}\n"
    "if ARGV[2] == '*' then\n"
    "  kinds = redis.call('SMEMBERS', tag .. 'kinds')\n"
    "  kinds[#kinds + 1] = 'call'\n"
    "end\n"
    "for _, kind in ipairs(kinds) do\n"
    "  for status in string.gmatch(ARGV[3], '%a+') do parts[#parts + 1] = kind .. ':' .. status end\n"
    "end\n";

/* KEYS: tag. ARGV: as above, then after which key, how many, queue, function, lease owner. Answers the key
 * that was looked at last, or "" at the end, and the keys that match. Each part gives its first so many, and
 * the smallest of all these are looked at: whatever moves from part to part meanwhile, none comes twice. Lua
 * would compare them as the server's language does, sorted sets are ordered by bytes. */
static const char list_text[] =
    "local first, n = '-', tonumber(ARGV[5])\n"
    "if ARGV[4] ~= '' then first = '(' .. ARGV[4] end\n"
    "local function is_before(a, b)\n"
    "  for i = 1, math.min(#a, #b) do\n"
    "    local x, y = string.byte(a, i), string.byte(b, i)\n"
    "    if x ~= y then return x < y end\n"
    "  end\n"
    "  return #a < #b\n"
    "end\n"
    "local lists, at = {}, {}\n"
    "for i, part in ipairs(parts) do\n"
    "  lists[i] = redis.call('ZRANGEBYLEX', tag .. 'i:' .. part, first, '+', 'LIMIT', 0, n)\n"
    "  at[i] = 1\n"
    "end\n"
    "local function next_key()\n"
    "  local best, key\n"
    "  for i, list in ipairs(lists) do\n"
    "    local here = list[at[i]]\n"
    "    if here and (not key or is_before(here, key)) then best, key = i, here end\n"
    "  end\n"
    "  if key then at[best] = at[best] + 1 end\n"
    "  return key\n"
    "end\n"
    "local keys = {}\n"
    "for i = 1, n do keys[i] = next_key() end\n"
    "local last = keys[n] or ''\n"
    "local wanted = {}\n"
    "local asked = ARGV[6] ~= '' or ARGV[7] ~= '' or ARGV[8] ~= ''\n"
    "for i = 1, #keys do\n"
    "  local matches = true\n"
    "  if asked then\n"
    "    local is = redis.pcall('HMGET', tag .. 'r:' .. keys[i], 'queue', 'function', 'lease-owner')\n"
    "    for field = 1, 3 do\n"
    "      local want = ARGV[5 + field]\n"
    "      if want ~= '' and '=' .. (is[field] or '') ~= want then matches = false end\n"
    "    end\n"
    "  end\n"
    "  if matches then wanted[#wanted + 1] = keys[i] end\n"
    "end\n"
    "return {last, wanted}\n";

/* KEYS: tag. ARGV: as above, then now. */
static const char count_text[] = "local n = 0\n"
                                 "for _, part in ipairs(parts) do\n"
                                 "  n = n + redis.call('ZCARD', tag .. 'i:' .. part)\n"
                                 "        - redis.call('ZCOUNT', tag .. 'x:' .. part, '-inf', ARGV[4])\n"
                                 "end\n"
                                 "return n\n";

/* KEYS: tag. ARGV: as above, then now, how many, sender. Answers the keys of what was removed. A record that
 * the server has expired already leaves its entries and items to be removed here. */
static const char cleanup_text[] =
    "local gone = {}\n"
    "for _, part in ipairs(parts) do\n"
    "  local expired = redis.call('ZRANGEBYSCORE', tag .. 'x:' .. part, '-inf', ARGV[4],\n"
    "                             'LIMIT', 0, tonumber(ARGV[5]) - #gone)\n"
    "  for _, key in ipairs(expired) do\n"
    "    redis.call('PUBLISH', tag .. 'changed', ARGV[6] .. '/' .. key)\n"
    "    redis.call('DEL', tag .. 'r:' .. key)\n"
    "    forget_items(tag, key)\n"
    "    redis.call('ZREM', tag .. 'i:' .. part, key)\n"
    "    redis.call('ZREM', tag .. 'x:' .. part, key)\n"
    "    gone[#gone + 1] = key\n"
    "  end\n"
    "  if #gone >= tonumber(ARGV[5]) then break end\n"
    "end\n"
    "return gone\n";

/* KEYS: tag. ARGV: tag, again, owner, now, how many, write, sender, queue… Answers when the next call that
 * waits for its time is due ("" if none does), then key and fields of each call taken, one after the other. A
 * claim that is sent again first finds what it took the first time. */
static const char claim_text[] =
    "local tag, owner, now, limit, write, sender = ARGV[1], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6], "
    "ARGV[7]\n"
    "local answer, taken, next_due = {''}, 0, false\n"
    "local function answer_with(key)\n"
    "  answer[#answer + 1] = key\n"
    "  answer[#answer + 1] = redis.call('HGETALL', tag .. 'r:' .. key)\n"
    "  taken = taken + 1\n"
    "end\n"
    "if ARGV[2] == '1' then\n"
    "  for _, key in ipairs(redis.call('ZRANGE', tag .. 'i:call:running', 0, -1)) do\n"
    "    if redis.call('HGET', tag .. 'r:' .. key, 'write') == write then answer_with(key) end\n"
    "  end\n"
    "end\n"
    "local function ripen(queue)\n"
    "  local due, later = tag .. 'due:' .. queue, tag .. 'later:' .. queue\n"
    "  local ripe = redis.call('ZRANGEBYSCORE', later, '-inf', now, 'LIMIT', 0, 1000)\n"
    "  for _, key in ipairs(ripe) do\n"
    "    local is = redis.call('HMGET', tag .. 'r:' .. key, 'created', 'not-before', 'priority')\n"
    "    local start = math.max(tonumber(is[1] or 0), tonumber(is[2] or 0))\n"
    "    local priority = math.max(-1e7, math.min(1e7, tonumber(is[3] or 0)))\n"
    "    redis.call('ZADD', due, start - priority * 30e6, key)\n"
    "    redis.call('ZREM', later, key)\n"
    "  end\n"
    "  return #ripe\n"
    "end\n"
    "local function take(queue, key)\n"
    "  local record = tag .. 'r:' .. key\n"
    "  local is = redis.call('HMGET', record, 'status', 'queue', 'kind', 'attempt', 'not-before')\n"
    "  local is_work = is[1] == 'pending' and is[2] == queue and (is[3] or 'call') == 'call'\n"
    /* By another host's clock its time had come, or before this one's was set. */
    "  if is_work and tonumber(is[5] or 0) > tonumber(now) then\n"
    "    redis.call('ZADD', tag .. 'later:' .. queue, is[5], key)\n"
    "  elseif is_work then\n"
    "    redis.call('PUBLISH', tag .. 'changed', sender .. '/' .. key)\n"
    "    redis.call('HSET', record, 'status', 'running', 'lease-owner', owner, 'lease-counter', 1,\n"
    "               'started', now, 'attempt', math.max(tonumber(is[4] or 1), 1), 'write', write)\n"
    "    redis.call('HDEL', record, 'progress', 'message', 'items')\n"
    "    redis.call('HINCRBY', record, 'revision', 1)\n"
    "    redis.call('HINCRBY', record, 'fence', 1)\n"
    "    redis.call('ZADD', tag .. 'i:call:running', 0, key)\n"
    "    redis.call('ZREM', tag .. 'i:call:pending', key)\n"
    "    answer_with(key)\n"
    "  end\n"
    "  redis.call('ZREM', tag .. 'due:' .. queue, key)\n"
    "end\n"
    "for i = 8, #ARGV do\n"
    "  local queue = ARGV[i]\n"
    "  while ripen(queue) == 1000 do end\n"
    "  while taken < limit do\n"
    "    local first = redis.call('ZRANGE', tag .. 'due:' .. queue, 0, limit - taken - 1)\n"
    "    if #first == 0 then break end\n"
    "    for _, key in ipairs(first) do take(queue, key) end\n"
    "  end\n"
    "  local waiting = redis.call('ZRANGE', tag .. 'later:' .. queue, 0, 0, 'WITHSCORES')\n"
    "  if waiting[2] and (not next_due or tonumber(waiting[2]) < tonumber(next_due)) then\n"
    "    next_due = waiting[2]\n"
    "  end\n"
    "end\n"
    "answer[1] = next_due or ''\n"
    "return answer\n";

/* KEYS: tag. ARGV: tag, sender, then key, fence… Answers for each GONE, STALE, 1 if a cancel was requested,
 * or 0. */
static const char renew_text[] =
    "local tag, verdicts = ARGV[1], {}\n"
    "for i = 3, #ARGV, 2 do\n"
    "  local record = tag .. 'r:' .. ARGV[i]\n"
    "  local is = redis.call('HMGET', record, 'status', 'fence', 'cancel-requested', 'revision')\n"
    "  local verdict = 'STALE'\n"
    "  if not is[4] then verdict = 'GONE'\n"
    "  elseif is[1] == 'running' and (is[2] or '0') == ARGV[i + 1] then\n"
    "    redis.call('PUBLISH', tag .. 'changed', ARGV[2] .. '/' .. ARGV[i])\n"
    "    redis.call('HINCRBY', record, 'lease-counter', 1)\n"
    "    redis.call('HINCRBY', record, 'revision', 1)\n"
    "    verdict = is[3] or '0'\n"
    "  end\n"
    "  verdicts[#verdicts + 1] = verdict\n"
    "end\n"
    "return verdicts\n";

/* KEYS: list. ARGV: tag, key, fence, index of the first, how many to keep, item… A first index beyond the end
 * leaves a gap, and before a gap nothing is kept. */
static const char append_items_text[] =
    "local list, logs, first = KEYS[1], ARGV[1] .. 'logs:' .. ARGV[2], tonumber(ARGV[4])\n"
    "redis.call('SADD', logs, ARGV[3])\n" /* stops here where there is no memory */
    "local base = tonumber(redis.call('LINDEX', list, 0) or first)\n"
    "local n = math.max(redis.call('LLEN', list) - 1, 0)\n"
    "if first < base or first > base + n then\n"
    "  redis.call('DEL', list)\n"
    "  base, n = first, 0\n"
    "elseif first < base + n then\n"
    "  redis.call('LTRIM', list, 0, first - base)\n"
    "  n = first - base\n"
    "end\n"
    "if redis.call('EXISTS', list) == 0 then redis.call('RPUSH', list, ARGV[4]) end\n"
    "for i = 6, #ARGV, 1000 do\n"
    "  redis.call('RPUSH', list, unpack(ARGV, i, math.min(i + 999, #ARGV)))\n"
    "end\n"
    "local surplus = n + #ARGV - 5 - tonumber(ARGV[5])\n"
    "if surplus > 0 then\n"
    "  redis.call('LTRIM', list, surplus, -1)\n"
    "  redis.call('LSET', list, 0, string.format('%.0f', base + surplus))\n"
    "end\n"
    "return 'OK'\n";

/* KEYS: list. ARGV: from which index, how many. Answers the index of the first, then the items. */
static const char read_items_text[] =
    "local base = tonumber(redis.call('LINDEX', KEYS[1], 0) or 0)\n"
    "local from = math.max(tonumber(ARGV[1]), base)\n"
    "local items = redis.call('LRANGE', KEYS[1], from - base + 1, from - base + tonumber(ARGV[2]))\n"
    "table.insert(items, 1, string.format('%.0f', from))\n"
    "return items\n";

/* KEYS: logs. ARGV: tag, key, fence. */
static const char remove_items_text[] =
    "for _, fence in ipairs(redis.call('SMEMBERS', KEYS[1])) do\n"
    "  if tonumber(fence) <= tonumber(ARGV[3]) then\n"
    "    redis.call('DEL', ARGV[1] .. 'items:' .. ARGV[2] .. ':' .. fence)\n"
    "    redis.call('SREM', KEYS[1], fence)\n"
    "  end\n"
    "end\n"
    "return 'OK'\n";

/* Of the parts that each script is put together from, and the SHA-1 of the whole, which the server knows it
 * by. */
static struct
{
  const char *parts[3];
  char *text, *name; /* set once */
} scripts[REDIS_N_SCRIPTS] = {
  [REDIS_SCRIPT_PUT] = { { put_text } },
  [REDIS_SCRIPT_REMOVE] = { { forget_text, remove_text } },
  [REDIS_SCRIPT_LIST] = { { parts_text, list_text } },
  [REDIS_SCRIPT_COUNT] = { { parts_text, count_text } },
  [REDIS_SCRIPT_CLEANUP] = { { forget_text, parts_text, cleanup_text } },
  [REDIS_SCRIPT_CLAIM] = { { claim_text } },
  [REDIS_SCRIPT_RENEW] = { { renew_text } },
  [REDIS_SCRIPT_APPEND_ITEMS] = { { append_items_text } },
  [REDIS_SCRIPT_READ_ITEMS] = { { read_items_text } },
  [REDIS_SCRIPT_REMOVE_ITEMS] = { { remove_items_text } },
};

void
redis_scripts_init (void)
{
  for (guint i = 0; i < REDIS_N_SCRIPTS; i++)
    {
      const char *const *parts = scripts[i].parts;

      scripts[i].text = g_strconcat (parts[0], parts[1], parts[1] != NULL ? parts[2] : NULL, NULL);
      scripts[i].name = g_compute_checksum_for_string (G_CHECKSUM_SHA1, scripts[i].text, -1);
    }
}

RedisCommand *
redis_script_call (RedisScript script, guint n_keys)
{
  RedisCommand *command = redis_command_new ("EVALSHA");

  redis_command_add (command, scripts[script].name);
  redis_command_add_int (command, n_keys);
  return command;
}

GPtrArray *
redis_scripts_load (void)
{
  GPtrArray *commands = g_ptr_array_new_with_free_func ((GDestroyNotify) redis_command_free);

  for (guint i = 0; i < REDIS_N_SCRIPTS; i++)
    {
      RedisCommand *command = redis_command_new ("SCRIPT");

      redis_command_add (command, "LOAD");
      redis_command_add (command, scripts[i].text);
      g_ptr_array_add (commands, command);
    }
  return commands;
}
