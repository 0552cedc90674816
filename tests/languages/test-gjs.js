// test-gjs.js GIR — strand as a GJS program sees it.    SPDX-License-Identifier: LGPL-2.1-or-later

import Gio from 'gi://Gio';
import GLib from 'gi://GLib';
import System from 'system';
import Strand from 'gi://Strand?version=1';

const registry = Strand.Registry.get_default();
const name = new GLib.Variant('(s)', ['Anna']);
let timesGreeted = 0;

function assert(condition, what) {
    if (!condition)
        throw new Error(what);
}

function assertEqual(got, expected) {
    const [said, wanted] = [JSON.stringify(got), JSON.stringify(expected)];
    assert(said === wanted, `expected ${wanted}, got ${said}`);
}

async function assertRejects(promise, domain, code, part) {
    let error = null;
    try {
        await promise;
    } catch (thrown) {
        error = thrown;
    }
    assert(error, 'it did not fail');
    assert(!domain || error.matches?.(domain, code), `'${error}' has another code`);
    assert(error.message.includes(part), `'${error.message}' does not say '${part}'`);
}

function newTask(functionName, target, stack = null) {
    const task = Strand.Task.new_for_name(functionName, 'sync');
    if (stack)
        task.set_stack(stack);
    task.set_target(target);
    return task;
}

function newStack() {
    return Strand.Stack.new_from_data(`[strand]
default-backend=here
[store records]
type=memory
[reader hands]
store=records
taskrunner=sync
[backend here]
type=sync
store=memory
[backend threads]
type=thread
store=memory
[backend queue]
type=store
store=records
read-store=hands
`, 'test');
}

// Each `_async` of the GIR file, as [type or null, name].
function readAsyncMethods(path) {
    const [, bytes] = GLib.file_get_contents(path);
    const methods = [];
    let owner = null;
    for (const line of new TextDecoder().decode(bytes).split('\n')) {
        const type = line.match(/^ {4}<(?:class|interface|record) name="(\w+)"/);
        const method = line.match(/^ {4,6}<(?:method|function|constructor) name="(\w+_async)"/);
        if (type)
            owner = type[1];
        else if (/^ {4}<\/(class|interface|record)>/.test(line))
            owner = null;
        else if (method)
            methods.push([owner, method[1]]);
    }
    return methods;
}

const tests = {
    async 'promise/call-resolves-to-its-value'() {
        const value = await newTask('demo.add', 'thread').call_async(new GLib.Variant('(xx)', [40, 2]), null);
        assertEqual(value.unpack(), 42);
    },

    async 'promise/failed-call-rejects-with-its-error'() {
        const task = newTask('demo.add', 'thread');
        await assertRejects(task.call_async(name, null), Strand.Error, Strand.Error.TYPE, "'demo.add'");
    },

    async 'promise/handle-can-be-awaited'() {
        const handle = newTask('demo.echo', 'thread').call(name);
        assertEqual((await handle.wait_async(null)).unpack(), 'Anna');
        assertEqual(handle.status, Strand.Status.COMPLETED);
    },

    async 'promise/cancelled-call-rejects'() {
        const handle = newTask('demo.sleep', 'thread').call(new GLib.Variant('(d)', [3600]));
        assert(handle.cancel(), 'it was too late');
        await assertRejects(handle.wait_async(null), Gio.IOErrorEnum, Gio.IOErrorEnum.CANCELLED, '');
    },

    async 'promise/store-queue-and-stack-can-be-awaited'() {
        const stack = newStack();
        const store = stack.ref_object(Strand.Kind.STORE, 'records');
        assertEqual(await store.count_async(null, null), 0);
        await assertRejects(store.get_async('nothing', null), Strand.Error, Strand.Error.NOT_FOUND, "'nothing'");
        assertEqual(await Strand.queue_list_async(store, null), []);
        await stack.close_async(-1, null);
    },

    async 'promise/every-async-method-gives-one'() {
        const stack = newStack();
        const methods = readAsyncMethods(ARGV[0]);
        const objects = {
            Store: stack.ref_object(Strand.Kind.STORE, 'records'),
            Backend: stack.ref_target('threads'),
            Taskrunner: stack.ref_target('thread'),
        };
        // What was promisified stands beside its original, under a name of its own.
        const plain = methods.filter(([owner, method]) => {
            const places = owner ? [Strand[owner], Strand[owner].prototype, objects[owner]] : [Strand];
            return !places.some(place => place?.[`_original_${method}`]);
        });
        assert(methods.length > 20, `only ${methods.length} methods found`);
        assertEqual(plain, []);
        await stack.close_async(-1, null);
    },

    async 'function/runs-where-it-is'() {
        const before = timesGreeted;
        assertEqual((await newTask('test.greet', 'sync').call_async(name, null)).unpack(), 'Hello, Anna');
        assertEqual(timesGreeted, before + 1);
    },

    async 'function/is-refused-elsewhere-with-the-reason'() {
        const stack = newStack();
        const before = timesGreeted;
        const tasks = [...['thread', 'coroutine', 'process'].map(target => newTask('test.greet', target)),
            ...['here', 'threads', 'queue'].map(target => newTask('test.greet', target, stack))];
        for (const task of tasks) {
            await assertRejects(task.call_async(name, null), Strand.Error, Strand.Error.UNSAFE,
                'it may run only on the main thread');
        }
        assertEqual(timesGreeted, before);
        await stack.close_async(-1, null);
    },

    async 'function/is-refused-however-it-was-made'() {
        const greet = () => null;
        for (const made of [Strand.Function.new('test.made', '', null, Strand.Traits.NONE, greet),
            new Strand.Function('test.made', '', null, Strand.Traits.NOT_REENTRANT, greet)]) {
            assert(made.get_traits() & Strand.Traits.MAIN_THREAD_ONLY, 'it may run on any thread');
            assert(made.get_traits() & Strand.Traits.NOT_PORTABLE, 'it may run in another process');
        }
    },

    async 'function/exception-reaches-the-caller'() {
        registry.add('test.throw', '', null, () => {
            throw new RangeError('too far out');
        });
        await assertRejects(newTask('test.throw', 'sync').call_async(null, null), null, 0, 'too far out');
    },

    async 'callbacks/items-come-in-order-before-the-end'() {
        const seen = [];
        const task = newTask('demo.count', 'thread');
        task.on_iter((call, item) => {
            seen.push(item.unpack());
            return true;
        });
        await task.call_async(new GLib.Variant('(u)', [3]), null);
        assertEqual(seen, [0, 1, 2]);
    },

    async 'callbacks/exception-in-one-fails-the-call'() {
        const task = newTask('demo.count', 'thread');
        task.on_iter(() => {
            throw new Error('enough');
        });
        // More items than are kept, so that it still runs.
        await assertRejects(task.call_async(new GLib.Variant('(u)', [1000000]), null), null, 0, 'enough');
    },

    async 'list/is-a-list-model-of-jobs'() {
        const jobs = Strand.TaskDispatcher.new('thread');
        const changes = [], rows = [];
        assert(jobs instanceof Gio.ListModel, 'it is none');
        assertEqual(jobs.get_item_type().name, 'StrandHandle');
        jobs.connect('items-changed', (list, ...change) => changes.push(change));
        for (const n of [5, 6, 7])
            jobs.enqueue('demo.factorial', new GLib.Variant('(t)', [n]));
        await jobs.run_async(-1, null);
        for (let i = 0; i < jobs.get_n_items(); i++)
            rows.push([jobs.get_item(i).status, jobs.get_item(i).get_result().unpack()]);
        assertEqual(changes.reduce((sum, [, removed, added]) => sum - removed + added, 0), 3);
        assertEqual(rows, ['120', '720', '5040'].map(value => [Strand.Status.COMPLETED, value]));
    },

    async 'list/rows-notify'() {
        const jobs = Strand.TaskDispatcher.new('thread');
        const handle = jobs.enqueue('demo.count', new GLib.Variant('(u)', [10]));
        const completed = new Promise(resolve => {
            handle.connect('notify::status', () => handle.status === Strand.Status.COMPLETED && resolve());
        });
        await jobs.run_async(-1, null);
        await completed;
        assertEqual(handle.progress, 1);
    },

    async 'example/prints-what-the-page-says'() {
        const program = Gio.Subprocess.new(['gjs', '-m', `${GLib.getenv('STRAND_SOURCE')}/sdk/examples/jobs.js`],
            Gio.SubprocessFlags.STDOUT_PIPE);
        const [, output] = program.communicate_utf8(null, null);
        assertEqual(output.split('\n'), ['the sum is 42', 'Hello, Anna',
            "Could not call 'jobs.greet' on StrandThreadTaskrunner: it may run only on the main thread: use 'sync'",
            '3 more from 0 on', '120', '720', '5040', '']);
        assert(program.get_successful(), 'it failed');
    },
};

async function main() {
    let failed = 0, count = 0;
    registry.load_module('demo');
    registry.add('test.greet', 'name:s -> s', 'A greeting', (context, parameters) => {
        timesGreeted++;
        return new GLib.Variant('s', `Hello, ${parameters.deepUnpack()[0]}`);
    });
    print(`1..${Object.keys(tests).length}`);
    for (const [title, test] of Object.entries(tests)) {
        count++;
        try {
            await test();
            print(`ok ${count} - ${title}`);
        } catch (error) {
            print(`not ok ${count} - ${title}`);
            print(`${error}\n${error.stack}`.replace(/^/gm, '# '));
            failed++;
        }
    }
    return failed ? 1 : 0;
}

const loop = new GLib.MainLoop(null, false);
let status = 1;
main().then(result => (status = result)).catch(logError).finally(() => loop.quit());
loop.run();
System.exit(status);
