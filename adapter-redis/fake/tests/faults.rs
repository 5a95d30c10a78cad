//! Each thing that a test can let go wrong.

#![allow(clippy::unwrap_used, reason = "a test")]

use fake_redis::{ConnectionId, FakeRedis, Memory, Push, Role, Step, SubscriberReceiver};
use futures_util::{FutureExt, StreamExt};
use redis::Value;

const APPEND: &str = "local n = redis.call('RPUSH', KEYS[1], ARGV[1]) redis.call('PUBLISH', 'news', ARGV[1]) return n";

fn list(redis: &FakeRedis) -> Value {
    redis.execute(["LRANGE", "log", "0", "-1"]).unwrap()
}

fn bulks(texts: &[&str]) -> Value {
    Value::Array(texts.iter().map(|text| Value::BulkString(text.as_bytes().to_vec())).collect())
}

fn run_id(redis: &FakeRedis) -> Value {
    redis.execute(["INFO", "server"]).unwrap()
}

fn next(receiver: &mut SubscriberReceiver) -> Option<Option<Push>> {
    receiver.next().now_or_never()
}

fn message(text: &str) -> Push {
    Push::Message { channel: b"news".as_slice().into(), payload: text.as_bytes().into() }
}

/// A subscriber of `news`, confirmed.
fn subscribed(redis: &FakeRedis) -> (ConnectionId, SubscriberReceiver) {
    let (sender, mut receiver) = redis.subscriber();
    sender.subscribe(["news"]).unwrap();
    assert!(redis.execute_next(sender.id()) && redis.push_next(sender.id()));
    let confirmed = Push::Subscribed { channel: b"news".as_slice().into(), count: 1 };
    assert_eq!(next(&mut receiver), Some(Some(confirmed)));
    (sender.id(), receiver)
}

#[test]
fn nothing_happens_by_itself() {
    let redis = FakeRedis::new();
    let connection = redis.connect();
    let mut reply = connection.send(["SET", "a", "1"]);
    assert_eq!(redis.pending(), [Step::Execute(connection.id())]);
    assert_eq!(redis.execute(["GET", "a"]).unwrap(), Value::Nil);
    assert!(redis.step(Step::Execute(connection.id())));
    assert_eq!(redis.execute(["GET", "a"]).unwrap(), Value::BulkString(b"1".to_vec()));
    assert!((&mut reply).now_or_never().is_none());
    assert_eq!(redis.pending(), [Step::Reply(connection.id())]);
    assert!(redis.step(Step::Reply(connection.id())));
    assert_eq!((&mut reply).now_or_never().unwrap().unwrap(), Value::Okay);
    assert!(redis.pending().is_empty() && !redis.execute_next(connection.id()));
}

#[test]
fn a_killed_connection_loses_requests_and_replies() {
    let redis = FakeRedis::new();
    let connection = redis.connect();
    let executed = connection.send(["INCR", "a"]);
    let lost = connection.send(["INCR", "a"]);
    redis.execute_next(connection.id());
    assert!(redis.kill(connection.id()));
    for reply in [executed, lost, connection.send(["INCR", "a"])] {
        assert!(reply.now_or_never().unwrap().unwrap_err().is_io_error());
    }
    assert_eq!(redis.execute(["GET", "a"]).unwrap(), Value::BulkString(b"1".to_vec()));
}

#[test]
fn an_orphaned_request_is_executed_later() {
    let redis = FakeRedis::new();
    let connection = redis.connect();
    let reply = connection.send(["INCR", "a"]);
    redis.orphan(connection.id());
    assert!(reply.now_or_never().unwrap().unwrap_err().is_io_error());
    assert!(connection.send(["INCR", "a"]).now_or_never().unwrap().is_err());
    assert_eq!(redis.settle(), 1);
    assert_eq!(redis.execute(["GET", "a"]).unwrap(), Value::BulkString(b"1".to_vec()));
    // and so is what was sent on a connection that its client dropped
    let dropped = redis.connect();
    drop(dropped.send(["INCR", "a"]));
    drop(dropped);
    assert_eq!(redis.settle(), 1);
    assert_eq!(redis.execute(["GET", "a"]).unwrap(), Value::BulkString(b"2".to_vec()));
}

#[test]
fn a_silent_connection_tells_nothing() {
    let redis = FakeRedis::new();
    let connection = redis.connect();
    let mut reply = connection.send(["INCR", "a"]);
    redis.silence(connection.id());
    let mut later = connection.send(["INCR", "a"]);
    assert_eq!(redis.settle(), 0);
    assert!((&mut reply).now_or_never().is_none() && (&mut later).now_or_never().is_none());
    redis.kill(connection.id());
    assert!(reply.now_or_never().unwrap().is_err() && later.now_or_never().unwrap().is_err());
}

#[test]
fn pushes_arrive_in_order_and_one_by_one() {
    let redis = FakeRedis::new();
    let (id, mut receiver) = subscribed(&redis);
    redis.execute(["EVAL", APPEND, "1", "log", "x"]).unwrap();
    assert_eq!(redis.execute(["PUBLISH", "news", "y"]).unwrap(), Value::Int(1));
    assert_eq!(next(&mut receiver), None);
    assert!(redis.push_next(id));
    assert_eq!((next(&mut receiver), next(&mut receiver)), (Some(Some(message("x"))), None));
    assert_eq!(redis.push_all(id), 1);
    redis.execute(["PUBLISH", "news", "lost"]).unwrap();
    redis.kill(id);
    assert_eq!((next(&mut receiver), next(&mut receiver)), (Some(Some(message("y"))), Some(None)));
    assert_eq!(redis.execute(["PUBLISH", "news", "z"]).unwrap(), Value::Int(0));
}

#[test]
fn a_slow_subscriber_is_dropped() {
    let redis = FakeRedis::new();
    let (id, mut receiver) = subscribed(&redis);
    redis.set_output_limit(Some(100));
    // *3 $7 message $4 news $1 x: 4 + 13 + 10 + 7
    redis.execute(["PUBLISH", "news", "x"]).unwrap();
    assert_eq!(redis.output_bytes(id), 34);
    redis.execute(["PUBLISH", "news", "x"]).unwrap();
    assert_eq!(next(&mut receiver), None);
    redis.execute(["PUBLISH", "news", "x"]).unwrap();
    assert_eq!(next(&mut receiver), Some(None));
}

#[test]
fn an_orphaned_subscriber_is_still_published_to() {
    let redis = FakeRedis::new();
    let (id, mut receiver) = subscribed(&redis);
    redis.orphan(id);
    assert_eq!(next(&mut receiver), Some(None));
    assert_eq!(redis.execute(["PUBLISH", "news", "x"]).unwrap(), Value::Int(1));
    redis.kill(id);
    assert_eq!(redis.execute(["PUBLISH", "news", "x"]).unwrap(), Value::Int(0));
    let (id, mut receiver) = subscribed(&redis);
    redis.silence(id);
    assert_eq!(redis.execute(["PUBLISH", "news", "x"]).unwrap(), Value::Int(0));
    assert_eq!((redis.settle(), next(&mut receiver)), (0, None));
}

#[test]
fn a_failover_loses_the_newest_writes() {
    let redis = FakeRedis::new();
    let sha = redis.execute(["SCRIPT", "LOAD", APPEND]).unwrap();
    let Value::BulkString(sha) = sha else { panic!("{sha:?}") };
    for entry in ["a", "b", "c"] {
        let args = [b"EVALSHA".as_slice(), &sha, b"1", b"log", entry.as_bytes()];
        redis.execute(args).unwrap();
        redis.execute(["GET", "reads are no writes"]).unwrap();
    }
    let before = run_id(&redis);
    let connection = redis.connect();
    assert_eq!(redis.failover(1), 1);
    assert_eq!(list(&redis), bulks(&["a", "b"]));
    assert_ne!(run_id(&redis), before);
    assert!(connection.send(["PING"]).now_or_never().unwrap().is_err());
    let error = redis.execute([b"EVALSHA".as_slice(), &sha, b"0"]).unwrap_err();
    assert_eq!(error.code(), Some("NOSCRIPT"));
    // what was lost before is not lost again
    redis.execute(["RPUSH", "log", "d"]).unwrap();
    assert_eq!((redis.failover(0), list(&redis)), (0, bulks(&["a", "b", "d"])));
    redis.execute(["RPUSH", "log", "e"]).unwrap();
    assert_eq!((redis.failover(5), list(&redis)), (1, bulks(&["a", "b", "d"])));
}

#[test]
fn a_failover_far_behind_has_all_the_older_writes() {
    let redis = FakeRedis::new();
    for entry in 0..3000 {
        redis.execute(["RPUSH", "log", &entry.to_string()]).unwrap();
    }
    assert_eq!(redis.failover(usize::MAX), 1024);
    assert_eq!(redis.execute(["LLEN", "log"]).unwrap(), Value::Int(3000 - 1024));
}

#[test]
fn a_flush_and_a_restart() {
    let redis = FakeRedis::new();
    let connection = redis.connect();
    redis.execute(["EVAL", APPEND, "1", "log", "a"]).unwrap();
    let before = run_id(&redis);
    redis.flush_all();
    assert_eq!((list(&redis), run_id(&redis)), (bulks(&[]), before.clone()));
    assert_eq!(redis.failover(1), 1);
    assert_eq!(list(&redis), bulks(&["a"]));
    redis.restart_empty();
    assert_eq!(list(&redis), bulks(&[]));
    assert_ne!(run_id(&redis), before);
    assert!(connection.send(["PING"]).now_or_never().unwrap().is_err());
    redis.execute(["SCRIPT", "LOAD", "return 1"]).unwrap();
    redis.forget_scripts();
    let sha = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    assert_eq!(redis.execute(["EVALSHA", sha, "0"]).unwrap_err().code(), Some("NOSCRIPT"));
}

#[test]
fn keys_end_by_the_clock_that_is_set() {
    let redis = FakeRedis::new();
    let exists = |key: &str| redis.execute(["EXISTS", key]).unwrap() == Value::Int(1);
    redis.set_time_ms(5_000_123);
    assert_eq!(redis.execute(["TIME"]).unwrap(), bulks(&["5000", "123000"]));
    for key in ["seen", "unseen", "deleted"] {
        redis.execute(["SET", key, "1", "PX", "100"]).unwrap();
    }
    redis.set_time_ms(5_000_222);
    assert!(exists("seen"));
    redis.set_time_ms(5_000_223);
    assert!(!exists("seen"));
    assert_eq!(redis.execute(["DBSIZE"]).unwrap(), Value::Int(2));
    redis.set_time_ms(5_000_000);
    assert!(!exists("seen") && exists("unseen"));
    redis.set_time_ms(6_000_000);
    assert_eq!(redis.expire_due(), 2);
    redis.set_time_ms(5_000_000);
    assert!(!exists("unseen"));
    assert_eq!((redis.failover(0), exists("seen"), exists("unseen")), (0, false, false));
}

#[test]
fn an_evicted_key_is_counted() {
    let redis = FakeRedis::new();
    redis.execute(["SET", "a", "1"]).unwrap();
    assert!(redis.evict("a") && !redis.evict("a"));
    let Value::BulkString(stats) = redis.execute(["INFO", "stats"]).unwrap() else { panic!("not a text") };
    assert!(String::from_utf8(stats).unwrap().contains("evicted_keys:1\r\n"));
    redis.set_config("maxmemory-policy", "allkeys-lru").unwrap();
    let Value::BulkString(memory) = redis.execute(["INFO", "memory"]).unwrap() else { panic!("not a text") };
    assert!(String::from_utf8(memory).unwrap().contains("maxmemory_policy:allkeys-lru\r\n"));
    assert!(redis.set_config("nosuch", "1").is_err());
}

#[test]
fn writes_are_refused() {
    let redis = FakeRedis::new();
    redis.set_role(Role::Replica);
    assert_eq!(redis.execute(["SET", "a", "1"]).unwrap_err().code(), Some("READONLY"));
    assert_eq!(redis.execute(["EVAL", APPEND, "1", "log", "a"]).unwrap_err().code(), Some("READONLY"));
    assert_eq!(redis.execute(["GET", "a"]).unwrap(), Value::Nil);
    redis.set_role(Role::Primary);
    redis.set_memory(Memory::Full);
    assert_eq!(redis.execute(["SET", "a", "1"]).unwrap_err().code(), Some("OOM"));
    assert_eq!(redis.execute(["DEL", "a"]).unwrap(), Value::Int(0));
    redis.set_acknowledging_replicas(2);
    assert_eq!(redis.execute(["WAIT", "1", "100"]).unwrap(), Value::Int(2));
}

#[test]
fn a_reset_server_is_as_new() {
    let redis = FakeRedis::new();
    let first = run_id(&redis);
    let connection = redis.connect();
    redis.execute(["SET", "a", "1"]).unwrap();
    redis.restart_empty();
    redis.reset();
    assert_eq!((redis.execute(["DBSIZE"]).unwrap(), run_id(&redis)), (Value::Int(0), first));
    assert!(connection.send(["PING"]).now_or_never().unwrap().is_err());
    assert!(redis.connect().id() > connection.id());
}

#[test]
fn a_scan_meets_every_key_once() {
    let redis = FakeRedis::new();
    for key in 0..95 {
        redis.execute(["SET", &format!("key:{key}"), "1"]).unwrap();
    }
    let (mut cursor, mut found) = (b"0".to_vec(), Vec::new());
    loop {
        let page = redis.execute([b"SCAN".as_slice(), &cursor, b"MATCH", b"key:*"]).unwrap();
        let Value::Array(parts) = page else { panic!("{page:?}") };
        let [Value::BulkString(next), Value::Array(keys)] = &parts[..] else { panic!("{parts:?}") };
        found.extend(keys.clone());
        // deleted on the way, it must not hide another
        redis.execute(["DEL", "key:0"]).unwrap();
        if next == b"0" {
            break;
        }
        cursor = next.clone();
    }
    assert_eq!(found.len(), 95);
}
