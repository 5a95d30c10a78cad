//! Tasks by name: none is detached, and none vanishes unseen.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of one part of the program, and the token that ends them.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Tasks that also end when `parent`'s do.
    pub fn child(&self) -> Self {
        Tasks { tracker: TaskTracker::new(), stop: self.stop.child_token() }
    }

    /// Cancelled when the tasks shall end.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Runs a task on this thread; it must end when told to.
    pub fn spawn_local(&self, task: impl Future<Output = ()> + 'static) {
        self.tracker.spawn_local(task);
    }

    /// Runs a task that the program cannot do without: when it ends before it
    /// is told to, everything ends.
    pub fn spawn_vital(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let vital = Vital { name, stop: self.stop.clone() };
        self.tracker.spawn(async move {
            let _vital = vital;
            task.await;
        });
    }

    /// The same on this thread.
    pub fn spawn_vital_local(&self, name: &'static str, task: impl Future<Output = ()> + 'static) {
        let vital = Vital { name, stop: self.stop.clone() };
        self.tracker.spawn_local(async move {
            let _vital = vital;
            task.await;
        });
    }

    /// Runs a task on another runtime, and gives its outcome to who waits for
    /// it; it must end when told to.
    pub fn spawn_on<T: Send + 'static>(
        &self,
        runtime: &Handle,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.tracker.spawn_on(task, runtime)
    }

    /// Waits until all have ended; no more should be spawned.
    pub async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.tracker.len()
    }
}

/// Ends everything when its task ends unasked, also by a panic.
struct Vital {
    name: &'static str,
    stop: CancellationToken,
}

impl Drop for Vital {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() {
            tracing::error!(task = self.name, "a vital task ended; shutting down");
            self.stop.cancel();
        }
    }
}
