//! The command connection in place of a real one.
#![cfg(feature = "aio")]

use fake_redis::FakeRedis;
use futures_util::FutureExt;
use redis::{Value, cmd, pipe};

#[test]
fn commands_and_pipelines_of_the_crate() {
    let redis = FakeRedis::new();
    let mut connection = redis.connect();
    let command = cmd("SET").arg("a").arg(1).to_owned();
    let mut set = Box::pin(command.query_async::<String>(&mut connection));
    assert!((&mut set).now_or_never().is_none());
    assert_eq!(redis.settle(), 2);
    assert_eq!(set.now_or_never().unwrap().unwrap(), "OK");

    let mut connection = redis.connect();
    let pipeline = pipe().incr("a", 5).cmd("GET").arg("a").to_owned();
    let mut both = Box::pin(pipeline.query_async::<(i64, String)>(&mut connection));
    assert!((&mut both).now_or_never().is_none());
    assert_eq!(redis.settle(), 4);
    assert_eq!(both.now_or_never().unwrap().unwrap(), (6, "6".into()));

    let mut connection = redis.connect();
    let pipeline = pipe().cmd("LPOP").arg("a").cmd("GET").arg("a").to_owned();
    let mut both = Box::pin(pipeline.query_async::<Vec<Value>>(&mut connection));
    assert!((&mut both).now_or_never().is_none());
    redis.settle();
    let error = both.now_or_never().unwrap().unwrap_err();
    assert!(error.to_string().contains("WRONGTYPE"), "{error}");
}

#[test]
fn the_code_of_a_script_reaches_the_client() {
    let redis = FakeRedis::new();
    let mut connection = redis.connect();
    let command = cmd("EVAL").arg("return redis.error_reply('EPOCH x')").arg(0).to_owned();
    let mut reply = Box::pin(command.query_async::<Value>(&mut connection));
    assert!((&mut reply).now_or_never().is_none());
    redis.settle();
    let error = reply.now_or_never().unwrap().unwrap_err();
    assert_eq!((error.code(), error.detail()), (Some("EPOCH"), Some("x")));
}
