//! A node of the model: its adapter with all its tasks, and its workers.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use adapter_redis::Settings;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::adapter::redis::RedisAdapter;
use crate::adapter::{Adapter, NoticeId, Watch};
use crate::message::{Namespaces, NodeTag};
use crate::rooms::mailbox::Mailbox;
use crate::rooms::{RoomMetrics, Router, Shard, WorkerPort};

use super::super::server::Place;
use super::super::setting::Setting;
use super::redis::Way;
use super::told::Told;

pub(super) struct Node {
    pub(super) way: Arc<Way>,
    pub(super) paused: bool,
    tasks: Vec<Task>,
}

struct Task {
    future: BoxFuture<'static, ()>,
    woken: Arc<Woken>,
}

/// Carries notices out: here, notes them.
async fn tell(adapter: Arc<RedisAdapter>, told: Arc<Mutex<Told>>) {
    loop {
        let notices = adapter.notices().await;
        let ids: Vec<NoticeId> = notices.iter().map(|notice| notice.id.clone()).collect();
        told.lock().unwrap().add(notices);
        adapter.settle(&ids).await;
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Node {
    /// The `number`th node ever, in the `seat`th place.
    pub(super) fn new(
        seat: usize,
        number: usize,
        workers: usize,
        setting: &Setting,
        settings: Settings,
        way: Arc<Way>,
        watching: Option<Arc<Mutex<Told>>>,
    ) -> (Self, Vec<Rc<Place>>) {
        let space = Arc::new(Notify::new());
        let mailbox = || Arc::new(Mailbox::new(setting.mailbox, Arc::clone(&space)));
        let seats: Vec<_> = (0..workers).map(|_| (mailbox(), mpsc::channel(64))).collect();
        let port = |(mailbox, (commands, _)): &(Arc<Mailbox>, (mpsc::Sender<_>, _))| WorkerPort {
            mailbox: Arc::clone(mailbox),
            commands: commands.clone(),
        };
        let ports = seats.iter().map(port).collect();
        let metrics = RoomMetrics::register(&prometheus::Registry::new()).unwrap();
        let router = Arc::new(Router::new(ports, 1, space, metrics));
        let namespaces = Namespaces::new([("/", true)]);
        let namespace = namespaces.by_name("/").unwrap().clone();
        let tag = NodeTag::parse(&format!("{number:03}")).unwrap();
        let server = Arc::clone(&way) as Arc<dyn adapter_redis::server::Server>;
        let host = Arc::clone(&router) as Arc<dyn crate::adapter::Node>;
        let unready = Duration::from_secs(5);
        let adapter = Arc::new(RedisAdapter::new(server, settings, tag, namespaces, host, unready));
        let task = |(_, future)| Task { future, woken: Arc::new(Woken(true.into())) };
        let mut tasks: Vec<Task> = adapter.tasks(&CancellationToken::new()).into_iter().map(task).collect();
        let watched = Watch { gone: watching.is_some(), presence: watching.is_some() };
        if let Some(told) = watching {
            let adapter = Arc::clone(&adapter);
            tasks.push(task(("notices", Box::pin(tell(adapter, told)))));
        }
        let place = |(index, (mailbox, (_, commands)))| {
            Rc::new(Place {
                node: seat,
                index,
                shard: Shard::new(1, setting.max_held).into(),
                router: Arc::clone(&router),
                mailbox,
                commands: mpsc::Receiver::into(commands),
                batch: VecDeque::new().into(),
                adapter: Arc::clone(&adapter) as Arc<dyn Adapter>,
                namespace: namespace.clone(),
                limit: setting.replay,
                watched,
                paused: false.into(),
            })
        };
        let places = seats.into_iter().enumerate().map(place).collect();
        (Node { way, paused: false, tasks }, places)
    }

    /// Tasks that have something to do.
    pub(super) fn ready(&self) -> impl Iterator<Item = usize> {
        let is_ready = |(index, task): (usize, &Task)| task.woken.0.load(Ordering::Relaxed).then_some(index);
        self.tasks.iter().enumerate().filter(|_| !self.paused).filter_map(is_ready)
    }

    pub(super) fn run(&mut self, task: usize) {
        let task = &mut self.tasks[task];
        task.woken.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&task.woken));
        let ended = task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        assert!(!ended, "a task of the adapter has ended");
    }
}
