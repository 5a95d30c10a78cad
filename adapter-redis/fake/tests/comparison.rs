//! The fake beside a real Redis: the same commands and scripts to both, and the replies compared.

#![allow(clippy::unwrap_used, reason = "a test")]

mod real;

use fake_redis::FakeRedis;
use real::RealRedis;
use redis::Value;

/// As the command line gives them, a command a line. `~` first: the order of the reply is free.
const COMMANDS: &str = include_str!("commands.txt");
/// Scripts, parted by lines of `--`; the first line names the keys and arguments: `keys; arguments`.
const SCRIPTS: &str = include_str!("scripts.txt");

fn told(reply: Result<Value, redis::RedisError>, sorted: bool) -> String {
    match reply {
        Ok(Value::Array(mut items)) if sorted => {
            items.sort_by_key(|item| format!("{item:?}"));
            format!("{:?}", Value::Array(items))
        }
        Ok(Value::ServerError(error)) => format!("error {:?}: {}", error.code(), error.details().unwrap_or("")),
        Ok(value) => format!("{value:?}"),
        Err(error) => match error.code() {
            Some(code) => format!("error {code:?}: {}", error.detail().unwrap_or("")),
            None => format!("broken: {error}"),
        },
    }
}

#[derive(Default)]
struct Comparison {
    compared: usize,
    errors: usize,
    different: Vec<String>,
}

impl Comparison {
    fn run(&mut self, fake: &FakeRedis, real: &mut RealRedis, args: &[Vec<u8>], sorted: bool, shown: &str) {
        let expected = told(real.execute(args), sorted);
        let found = told(fake.execute(args), sorted);
        self.compared += 1;
        self.errors += usize::from(expected.starts_with("error"));
        assert!(!expected.starts_with("broken"), "{shown}: {expected}");
        if expected != found {
            self.different.push(format!("{shown}\n  real {expected}\n  fake {found}"));
        }
    }

    fn end(self, what: &str) {
        println!(
            "{what}: {} compared, {} of them errors, {} different",
            self.compared,
            self.errors,
            self.different.len()
        );
        assert!(self.different.is_empty(), "\n{}", self.different.join("\n"));
    }
}

fn words(line: &str) -> Vec<Vec<u8>> {
    line.split_whitespace().map(|word| word.replace("''", "").replace('_', " ").into_bytes()).collect()
}

#[test]
fn commands_answer_alike() {
    let (fake, mut real) = (FakeRedis::new(), RealRedis::start());
    fake.set_time_ms(1_700_000_000_000);
    let mut comparison = Comparison::default();
    for line in COMMANDS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (line, sorted) = line.strip_prefix('~').map_or((line, false), |line| (line, true));
        comparison.run(&fake, &mut real, &words(line), sorted, line);
    }
    comparison.end("commands");
}

#[test]
fn scripts_answer_alike() {
    let (fake, mut real) = (FakeRedis::new(), RealRedis::start());
    fake.set_time_ms(1_700_000_000_000);
    let mut comparison = Comparison::default();
    for script in SCRIPTS.split("\n--\n") {
        let (head, script) = script.split_once('\n').unwrap();
        let (keys, arguments) = head.split_once(';').unwrap();
        let (keys, arguments) = (words(keys), words(arguments));
        let mut args = vec![b"EVAL".to_vec(), script.as_bytes().to_vec(), keys.len().to_string().into_bytes()];
        args.extend(keys.into_iter().chain(arguments));
        comparison.run(&fake, &mut real, &args, false, script);
    }
    comparison.end("scripts");
}
