//! What is counted of Redis.

use std::time::Duration;

use adapter_redis::{Command, Fault, LinkKind, Observer};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Handles into the registry; arrays are in the order of the library's `ALL`.
#[derive(Debug)]
pub struct RedisMetrics {
    commands: [Histogram; Command::COUNT],
    faults: [IntCounter; Fault::ALL.len()],
    connects: [IntCounter; LinkKind::ALL.len()],
    failures: [IntCounter; LinkKind::ALL.len()],
    links: [IntGauge; LinkKind::ALL.len()],
    catch_up: Histogram,
    caught_up: IntCounter,
    epochs: IntCounter,
    subscriptions: IntGauge,
    notices_dropped: IntGauge,
}

impl RedisMetrics {
    /// # Errors
    /// When a name is registered twice.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let commands = HistogramVec::new(
            HistogramOpts::new(
                "carillon_redis_command_duration_seconds",
                "Time until Redis answered a command, in seconds; a publish carries up to 128 messages.",
            )
            .buckets(vec![0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5]),
            &["command"],
        )?;
        let faults = IntCounterVec::new(
            Opts::new("carillon_redis_command_errors_total", "Commands to Redis that came to nothing, by error."),
            &["error"],
        )?;
        let connects = IntCounterVec::new(
            Opts::new("carillon_redis_connects_total", "Attempts to connect to Redis, by link and result."),
            &["link", "result"],
        )?;
        let links = IntGaugeVec::new(
            Opts::new("carillon_redis_connected", "1 while the link to Redis is open, otherwise 0."),
            &["link"],
        )?;
        let metrics = RedisMetrics {
            commands: Command::all().map(|command| commands.with_label_values(&[command.label()])),
            faults: Fault::ALL.map(|fault| faults.with_label_values(&[fault.label()])),
            connects: LinkKind::ALL.map(|link| connects.with_label_values(&[link.label(), "connected"])),
            failures: LinkKind::ALL.map(|link| connects.with_label_values(&[link.label(), "failed"])),
            links: LinkKind::ALL.map(|link| links.with_label_values(&[link.label()])),
            catch_up: Histogram::with_opts(
                HistogramOpts::new(
                    "carillon_redis_catch_up_duration_seconds",
                    "Time to read from the log what the subscriber had missed, and to deliver it, in seconds.",
                )
                .buckets(vec![0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0]),
            )?,
            caught_up: IntCounter::new(
                "carillon_redis_catch_up_messages_total",
                "Messages that the subscriber had missed and that came from the log.",
            )?,
            epochs: IntCounter::new(
                "carillon_redis_new_epochs_total",
                "Times that Redis was found to have lost its log: nothing before is recovered.",
            )?,
            subscriptions: IntGauge::new("carillon_redis_subscriptions", "Rooms that this node is subscribed to.")?,
            notices_dropped: IntGauge::new(
                "carillon_redis_notices_dropped",
                "Notices that were dropped because too many waited; the same on all nodes.",
            )?,
        };
        registry.register(Box::new(commands))?;
        registry.register(Box::new(faults))?;
        registry.register(Box::new(connects))?;
        registry.register(Box::new(links))?;
        registry.register(Box::new(metrics.catch_up.clone()))?;
        registry.register(Box::new(metrics.caught_up.clone()))?;
        registry.register(Box::new(metrics.epochs.clone()))?;
        registry.register(Box::new(metrics.subscriptions.clone()))?;
        registry.register(Box::new(metrics.notices_dropped.clone()))?;
        Ok(metrics)
    }
}

impl Observer for RedisMetrics {
    fn asked(&self, command: Command, took: Duration, fault: Option<Fault>) {
        self.commands[command.index()].observe(took.as_secs_f64());
        if let Some(fault) = fault {
            self.faults[fault as usize].inc();
        }
    }

    fn linked(&self, link: LinkKind) {
        self.connects[link as usize].inc();
        self.links[link as usize].inc();
    }

    fn unreachable(&self, link: LinkKind) {
        self.failures[link as usize].inc();
    }

    fn broke(&self, link: LinkKind) {
        self.links[link as usize].dec();
    }

    fn caught_up(&self, messages: usize, took: Duration) {
        self.caught_up.inc_by(messages as u64);
        self.catch_up.observe(took.as_secs_f64());
    }

    fn new_epoch(&self) {
        self.epochs.inc();
    }

    fn hears(&self, rooms: usize) {
        self.subscriptions.set(rooms.try_into().unwrap_or(i64::MAX));
    }

    fn notices_dropped(&self, ever: u64) {
        self.notices_dropped.set(ever.try_into().unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_under_its_own_label() {
        for (index, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, index);
        }
        for (index, link) in LinkKind::ALL.into_iter().enumerate() {
            assert_eq!(link as usize, index);
        }
        let registry = Registry::new();
        let metrics = RedisMetrics::register(&registry).unwrap();
        for command in Command::all() {
            metrics.asked(command, Duration::from_millis(2), None);
        }
        metrics.asked(Command::Plain, Duration::from_secs(2), Some(Fault::Unknown));
        metrics.unreachable(LinkKind::Subscriber);
        metrics.linked(LinkKind::Subscriber);
        metrics.linked(LinkKind::Commands);
        metrics.broke(LinkKind::Commands);
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            "carillon_redis_command_duration_seconds_count{command=\"publish\"} 1",
            "carillon_redis_command_duration_seconds_count{command=\"plain\"} 2",
            "carillon_redis_command_errors_total{error=\"unknown\"} 1",
            "carillon_redis_command_errors_total{error=\"moved\"} 0",
            "carillon_redis_connects_total{link=\"subscriber\",result=\"failed\"} 1",
            "carillon_redis_connects_total{link=\"commands\",result=\"failed\"} 0",
            "carillon_redis_connects_total{link=\"commands\",result=\"connected\"} 1",
            "carillon_redis_connected{link=\"subscriber\"} 1",
            "carillon_redis_connected{link=\"commands\"} 0",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert_eq!(text.matches("carillon_redis_command_duration_seconds_count").count(), Command::COUNT);
    }
}
