// jobs.js — calls awaited, a function of JavaScript, and a list of jobs, in GJS: `gjs -m jobs.js`.
//                                                       SPDX-License-Identifier: LGPL-2.1-or-later

import GLib from 'gi://GLib';
import Strand from 'gi://Strand?version=1';

async function awaitOne() {
    const task = Strand.Task.new_for_name('demo.add', 'thread');
    const sum = await task.call_async(new GLib.Variant('(xx)', [40, 2]), null);
    print(`the sum is ${sum.unpack()}`);
}

// Only where it is: on the main thread, when it is called.
async function awaitOurs() {
    Strand.Registry.get_default().add('jobs.greet', 'name:s -> s', 'A greeting',
        (context, parameters) => new GLib.Variant('s', `Hello, ${parameters.deepUnpack()[0]}`));
    const name = new GLib.Variant('(s)', ['Anna']);
    const here = Strand.Task.new_for_name('jobs.greet', 'sync');
    print((await here.call_async(name, null)).unpack());

    const elsewhere = Strand.Task.new_for_name('jobs.greet', 'thread');
    try {
        await elsewhere.call_async(name, null);
    } catch (error) {
        if (!error.matches(Strand.Error, Strand.Error.UNSAFE))
            throw error;
        print(error.message);
    }
}

// A list that a Gtk.ListView can show: each row is a handle, which notifies of status and progress.
async function awaitMany() {
    const jobs = Strand.TaskDispatcher.new('thread');
    jobs.connect('items-changed', (list, position, removed, added) => print(`${added} more from ${position} on`));
    for (const n of [5, 6, 7])
        jobs.enqueue('demo.factorial', new GLib.Variant('(t)', [n]));
    await jobs.run_async(-1, null);
    for (let i = 0; i < jobs.get_n_items(); i++)
        print(jobs.get_item(i).get_result().unpack());
}

async function main() {
    Strand.Registry.get_default().load_module('demo');
    await awaitOne();
    await awaitOurs();
    await awaitMany();
}

const loop = new GLib.MainLoop(null, false);
main().catch(logError).finally(() => loop.quit());
loop.run();
