//! What a call costs, printed. A model makes millions of them.

use std::time::Instant;

use fake_redis::FakeRedis;
use redis::Value;

const CALLS: u32 = 20_000;

const PUBLISH: &str = "
local call = redis.call
local meta = call('HMGET', KEYS[1], 'ms', 'seq')
local seq = tonumber(meta[2] or 0) + 1
call('HSET', KEYS[1], 'ms', ARGV[1], 'seq', seq)
call('RPUSH', KEYS[2], string.format('%013d-%07d', ARGV[1], seq) .. ARGV[2])
call('LTRIM', KEYS[2], -100, -1)
call('PUBLISH', 'news', ARGV[2])
return { seq, redis.call('LLEN', KEYS[2]) }";

#[test]
fn calls_are_counted_and_timed() {
    let redis = FakeRedis::new();
    let start = Instant::now();
    for _ in 0..CALLS {
        redis.execute(["EVAL", PUBLISH, "2", "meta", "log", "1700000000000", "some payload"]).unwrap();
    }
    let script = start.elapsed() / CALLS;
    let last = redis.execute(["HGET", "meta", "seq"]).unwrap();
    assert_eq!(last, Value::BulkString(CALLS.to_string().into_bytes()));
    let start = Instant::now();
    for _ in 0..CALLS {
        redis.execute(["GET", "nokey"]).unwrap();
    }
    println!("{CALLS} calls each: script of 6 commands {script:?}, GET {:?}", start.elapsed() / CALLS);
    let start = Instant::now();
    for _ in 0..100 {
        redis.reset();
    }
    println!("reset {:?}", start.elapsed() / 100);
}
