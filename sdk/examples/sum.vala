/* sum.vala — a function of Vala's in a thread, and its value awaited.
 *                                                       SPDX-License-Identifier: LGPL-2.1-or-later */

Variant? add (Strand.Context context, Variant arguments) throws Error {
    return arguments.get_child_value (0).get_int64 () + arguments.get_child_value (1).get_int64 ();
}

async void print_sum () throws Error {
    var task = new Strand.Task.for_name ("sum.add", "thread");
    Variant? sum = yield task.call_async (new Variant ("(xx)", 40, 2), null);
    print ("%s\n", sum.print (false));

    try {
        yield task.call_async (new Variant ("(s)", "forty"), null);
    } catch (Strand.Error.TYPE error) {
        print ("%s\n", error.message);
    }
}

int main () {
    var loop = new MainLoop ();
    int status = 0;

    try {
        Strand.Registry.get_default ().add ("sum.add", "a:x b:x -> x", "The sum", add);
    } catch (Error error) {
        printerr ("%s\n", error.message);
        return 1;
    }
    print_sum.begin ((source, result) => {
        try {
            print_sum.end (result);
        } catch (Error error) {
            printerr ("%s\n", error.message);
            status = 1;
        }
        loop.quit ();
    });
    loop.run ();
    return status;
}
