//! The server as the test holds it: connections, and what happens next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::{RedisResult, Value};

use crate::{
    commands::Run,
    connection::{Connection, Handle},
    core::{Core, client_command},
    links::{ConnectionId, State, Step},
    reply::{Bytes, Outcome, to_client},
    script::Scripts,
    subscriber::{Inbox, SubscriberReceiver, SubscriberSender},
};

/// A server. Clones are handles of the same.
#[derive(Clone)]
pub struct FakeRedis(Arc<Shared>);

struct Shared {
    /// Locked before the core, by whatever executes, so that one command runs at a time.
    scripts: Mutex<Scripts>,
    core: Arc<Mutex<Core>>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for FakeRedis {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeRedis {
    /// An empty server whose clock stands at 0. Making one takes far longer than [`Self::reset`].
    pub fn new() -> Self {
        let core = Arc::new(Mutex::new(Core::new()));
        let scripts = Scripts::new(core.clone()).expect("the libraries of scripts are correct");
        Self(Arc::new(Shared { scripts: Mutex::new(scripts), core }))
    }

    pub(crate) fn core<R>(&self, action: impl FnOnce(&mut Core) -> R) -> R {
        let mut core = lock(&self.0.core);
        let result = action(&mut core);
        let dead = core.links.take_dead();
        drop(core);
        drop(dead);
        result
    }

    /// As new, for the next run. Compiled scripts are kept, though the server does not know them; old clients are broken.
    pub fn reset(&self) {
        self.script_flush();
        self.core(Core::reset);
    }

    pub(crate) fn script_flush(&self) {
        lock(&self.0.scripts).flush();
    }

    /// A connection for commands.
    pub fn connect(&self) -> Connection {
        let id = self.core(|core| core.links.add_commands());
        Connection(Arc::new(Handle { server: self.clone(), id }))
    }

    /// A connection that subscribes.
    pub fn subscriber(&self) -> (SubscriberSender, SubscriberReceiver) {
        let inbox = Arc::new(Inbox::default());
        let id = self.core(|core| core.links.add_subscriber(inbox.clone()));
        let handle = Arc::new(Handle { server: self.clone(), id });
        (SubscriberSender(handle.clone()), SubscriberReceiver { inbox, handle })
    }

    pub(crate) fn client_closed(&self, id: ConnectionId) {
        self.core(|core| {
            if core.links.subscribers.contains_key(&id) {
                core.links.kill(id);
            } else {
                core.links.orphan(id);
            }
        });
    }

    /// All that can happen next, in an order that depends on nothing but what happened before.
    pub fn pending(&self) -> Vec<Step> {
        self.core(|core| core.links.pending())
    }

    /// Does one step; false if it cannot be done.
    pub fn step(&self, step: Step) -> bool {
        match step {
            Step::Execute(id) => self.execute_next(id),
            Step::Reply(id) => self.reply_next(id),
            Step::Push(id) => self.push_next(id),
        }
    }

    /// Steps until nothing is left to do, in the order of [`Self::pending`]. Answers the number of steps.
    pub fn settle(&self) -> usize {
        let mut steps = 0;
        while let Some(step) = self.pending().first() {
            self.step(*step);
            steps += 1;
        }
        steps
    }

    /// The words of the connection's next request.
    pub fn next_request(&self, id: ConnectionId) -> Option<Vec<Vec<u8>>> {
        self.core(|core| {
            let link = core.links.commands.get(&id).filter(|link| link.state != State::Silent)?;
            Some(link.requests.front()?.args.iter().map(|arg| arg.to_vec()).collect())
        })
    }

    /// Executes the connection's next request. Its reply waits for [`Self::reply_next`], or for [`Self::push_next`].
    pub fn execute_next(&self, id: ConnectionId) -> bool {
        if self.core(|core| core.links.execute_subscriber(id)) {
            return true;
        }
        let Some(request) = self.core(|core| core.links.take_request(id)) else { return false };
        let outcome = self.run(&request.args, id.0 as i64);
        self.core(|core| core.links.answer(id, request.responder, to_client(outcome)));
        true
    }

    /// Lets the connection's next reply reach the client.
    pub fn reply_next(&self, id: ConnectionId) -> bool {
        let Some((responder, reply)) = self.core(|core| core.links.take_reply(id)) else { return false };
        // the client may have dropped its future
        let _ = responder.send(reply);
        true
    }

    /// Lets the next push reach the subscriber.
    pub fn push_next(&self, id: ConnectionId) -> bool {
        let Some((inbox, push)) = self.core(|core| core.links.take_push(id)) else { return false };
        inbox.deliver(push);
        true
    }

    /// Lets all that waits for the subscriber reach it. Answers how much that was.
    pub fn push_all(&self, id: ConnectionId) -> usize {
        std::iter::from_fn(|| self.push_next(id).then_some(())).count()
    }

    /// Executes a command at once, on no connection.
    ///
    /// # Errors
    /// The error that the server answered.
    ///
    /// # Panics
    /// A command needs a name.
    pub fn execute<A: AsRef<[u8]>>(&self, args: impl IntoIterator<Item = A>) -> RedisResult<Value> {
        let args: Vec<Bytes> = args.into_iter().map(|arg| arg.as_ref().into()).collect();
        assert!(!args.is_empty(), "a command without a name");
        to_client(self.run(&args, 0))
    }

    fn run(&self, args: &[Bytes], caller: i64) -> Outcome {
        let mut scripts = lock(&self.0.scripts);
        let command = client_command(args)?;
        if matches!(command.run, Run::Script) {
            return scripts.command(args);
        }
        self.core(|core| {
            core.caller = caller;
            core.execute(args)
        })
    }
}
