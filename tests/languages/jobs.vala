/* jobs.vala — more of strand from Vala: callbacks, a list of jobs, cancelling, stores, handles made from keys.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

async void count () throws Error {
    var seen = "items";
    var task = new Strand.Task.for_name ("demo.count", "thread");

    task.on_iter ((call, item) => {
        seen += " %u".printf (item.get_uint32 ());
        return true;
    });
    yield task.call_async (new Variant ("(u)", 3), null);
    print ("%s\n", seen);
}

async void list () throws Error {
    var jobs = new Strand.TaskDispatcher ("thread");
    string[] values = {};

    for (uint64 n = 5; n < 8; n++)
        jobs.enqueue_value ("demo.factorial", new Variant ("(t)", n));
    yield jobs.run_async (-1, null);
    ListModel model = jobs;
    for (uint i = 0; i < model.get_n_items (); i++)
        values += ((Strand.Handle) model.get_item (i)).get_result ().get_string ();
    print ("%s\n", string.joinv (" ", values));
}

async void cancel () throws Error {
    var task = new Strand.Task.for_name ("demo.sleep", "thread");
    var cancellable = new Cancellable ();

    Idle.add (() => {
        cancellable.cancel ();
        return Source.REMOVE;
    });
    try {
        yield task.call_async (new Variant ("(d)", 3600.0), cancellable);
    } catch (IOError.CANCELLED error) {
        print ("cancelled\n");
    }
}

async void find () throws Error {
    var stack = new Strand.Stack.from_data ("[backend jobs]\ntype=thread\nstore=memory\n".data, "jobs");
    var task = new Strand.Task.for_name ("demo.echo", "thread");

    task.set_stack (stack);
    task.set_target ("jobs");
    var handle = task.call_value (new Variant ("(s)", "HELLO"));
    yield handle.wait_async (null);
    var store = task.ref_store ();
    var again = yield Strand.Handle.open (store, handle.key, null);
    print ("found %s\n", again.get_result ().get_string ());
    try {
        yield Strand.Handle.open (store, "nothing", null);
    } catch (Strand.Error.NOT_FOUND error) {
        print ("not found\n");
    }
    yield stack.close_async (-1, null);
}

async void run () throws Error {
    Strand.Registry.get_default ().load_module ("demo");
    yield count ();
    yield list ();
    yield cancel ();
    yield find ();
}

int main () {
    var loop = new MainLoop ();
    int status = 0;

    run.begin ((source, result) => {
        try {
            run.end (result);
        } catch (Error error) {
            printerr ("%s\n", error.message);
            status = 1;
        }
        loop.quit ();
    });
    loop.run ();
    return status;
}
