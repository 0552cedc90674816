// Strand.js — strand as a JavaScript program expects it: what takes its time returns a promise, and JavaScript stays on its
// thread.
//
// GJS runs JavaScript on one thread. A function of JavaScript that a taskrunner called on another would be skipped, with
// nothing for a value; so every function that is made here says of itself that it may run on the main thread only, and in no
// other process. strand then refuses it elsewhere, before it is called, and says why.
//                                                       SPDX-License-Identifier: LGPL-2.1-or-later

/* exported _init */

// Every method that ends in `_async`, by the type that has it.
const ASYNC = {
    Handle: ['new_async', 'wait_async'],
    Process: ['start_async', 'wait_async', 'end_async'],
    Reader: ['stop_async'],
    Stack: ['close_async'],
    Task: ['call_async', 'cleanup_expired_async'],
    TaskDispatcher: ['run_async', 'wait_async'],
};

// The same of interfaces. What a plugin provides has no prototype of ours, so this is done for each object as it is met.
const INTERFACES = {
    Backend: ['close_async'],
    Store: ['get_async', 'put_async', 'remove_async', 'list_async', 'count_async', 'cleanup_expired_async',
        'cancel_call_async', 'claim_async', 'renew_async', 'append_items_async', 'read_items_async'],
    Taskrunner: ['close_async'],
};

// Functions of no type, whose first argument is a store.
const FUNCTIONS = ['queue_list', 'queue_show', 'queue_list_workers', 'queue_pause', 'queue_resume', 'queue_drain',
    'queue_purge'];

// Methods that give objects of those interfaces.
const GIVERS = {
    Stack: ['ref_object', 'ref_target'],
    Task: ['ref_backend', 'ref_store', 'ref_target'],
};

function promisifyMethods(Gio, Strand) {
    for (const [type, methods] of Object.entries(ASYNC)) {
        for (const method of methods) {
            const owner = method.startsWith('new_') ? Strand[type] : Strand[type].prototype;
            Gio._promisify(owner, method, method.replace(/_async$/, '_finish'));
        }
    }
}

function promisifyObject(Gio, Strand, object) {
    for (const [type, methods] of Object.entries(INTERFACES)) {
        if (object instanceof Strand[type]) {
            for (const method of methods)
                Gio._promisify(Object.getPrototypeOf(object), method, method.replace(/_async$/, '_finish'));
        }
    }
    return object;
}

function promisifyGivers(Gio, Strand) {
    for (const [type, methods] of Object.entries(GIVERS)) {
        for (const method of methods) {
            const give = Strand[type].prototype[method];
            Strand[type].prototype[method] = function (...args) {
                return promisifyObject(Gio, Strand, give.apply(this, args));
            };
        }
    }
    Strand.promisify = object => promisifyObject(Gio, Strand, object);
}

// As Gio._promisify() does it for methods.
function promisifyFunctions(Strand) {
    for (const name of FUNCTIONS) {
        const begin = Strand[`${name}_async`];
        const finish = Strand[`${name}_finish`];
        Strand[`_original_${name}_async`] = begin;
        Strand[`${name}_async`] = (...args) => {
            if (args.length === begin.length)
                return begin(...args);
            return new Promise((resolve, reject) => {
                begin(...args, (store, result) => {
                    try {
                        resolve(finish(store, result));
                    } catch (error) {
                        reject(error);
                    }
                });
            });
        };
    }
}

function keepOnThread(Strand) {
    const {MAIN_THREAD_ONLY, NOT_PORTABLE} = Strand.Traits;
    const make = Strand.Function.new;
    Strand.Function.new = function (name, signature, help, traits, func) {
        return make(name, signature, help, traits | MAIN_THREAD_ONLY | NOT_PORTABLE, func);
    };
    Strand.Registry.prototype.add = function (name, signature, help, func) {
        return this.add_function(Strand.Function.new(name, signature, help, Strand.Traits.NONE, func));
    };
}

function _init() {
    const {Gio} = imports.gi;
    promisifyMethods(Gio, this);
    promisifyGivers(Gio, this);
    promisifyFunctions(this);
    keepOnThread(this);
}
