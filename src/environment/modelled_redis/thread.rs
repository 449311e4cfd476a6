//! The server's single thread as a queue: commands are carried out one after another, in the order
//! of their arrival.
//!
//! The model of the remote layer asks when a command is done, and waits until then. Pure. The costs
//! are of one machine and one version; `cargo bench --bench redis_costs --profile dev` measures them
//! on another.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::units::Ratio;

/// What a command is, as far as its cost differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// `GET`, and what else reads one string.
    Get,
    /// `SET`, with or without a TTL.
    Set,
    /// `UNLINK` or `DEL` of one key.
    Unlink,
    /// `EVALSHA` of a script with two or three commands in it.
    Script,
    /// `PUBLISH`, without the delivery to each subscriber.
    Publish,
    /// `XADD`.
    StreamAdd,
    /// `XREADGROUP` of ten entries.
    StreamRead,
    /// A step of `SCAN` over a thousand keys.
    Scan,
}

/// How long the thread is busy with each command: reading, carrying out, answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandCosts {
    /// `GET`.
    pub get: Duration,
    /// `SET`.
    pub set: Duration,
    /// `UNLINK` of one key.
    pub unlink: Duration,
    /// `EVALSHA`.
    pub script: Duration,
    /// `PUBLISH`.
    pub publish: Duration,
    /// `XADD`.
    pub stream_add: Duration,
    /// `XREADGROUP` of ten entries.
    pub stream_read: Duration,
    /// `SCAN` with a count of a thousand.
    pub scan: Duration,
    /// For each KiB that a plain command answers.
    pub read_per_kib: Duration,
    /// For each KiB that a plain command brings.
    pub written_per_kib: Duration,
    /// For each KiB that goes through a script: Lua copies and hashes it.
    pub script_per_kib: Duration,
    /// What waking up costs a thread that had nothing to do: what arrives while it is busy is read
    /// without waiting for it. See [`Thread::new`].
    pub wakeup: Duration,
}

impl CommandCosts {
    /// Measured on Redis 7.0.15: processor time of the main thread per command, on a loopback
    /// connection with 50 commands in flight, over 100,000 keys of 100 bytes.
    pub const MEASURED: Self = Self {
        get: Duration::from_nanos(600),
        set: Duration::from_nanos(1_500),
        unlink: Duration::from_nanos(900),
        script: Duration::from_nanos(3_100),
        publish: Duration::from_nanos(450),
        stream_add: Duration::from_micros(1),
        stream_read: Duration::from_nanos(10_300),
        scan: Duration::from_micros(81),
        read_per_kib: Duration::from_nanos(230),
        written_per_kib: Duration::from_nanos(750),
        script_per_kib: Duration::from_nanos(1_300),
        wakeup: Duration::from_nanos(8_500),
    };

    /// How long the thread is busy with `command` that carries or answers so many `bytes`.
    pub fn of(&self, command: Command, bytes: u64) -> Duration {
        let (base, per_kib) = match command {
            Command::Get => (self.get, self.read_per_kib),
            Command::Set => (self.set, self.written_per_kib),
            Command::Unlink => (self.unlink, Duration::ZERO),
            Command::Script => (self.script, self.script_per_kib),
            Command::Publish => (self.publish, self.written_per_kib),
            Command::StreamAdd => (self.stream_add, self.written_per_kib),
            Command::StreamRead => (self.stream_read, self.read_per_kib),
            Command::Scan => (self.scan, Duration::ZERO),
        };
        base + Duration::from_nanos(per_kib.as_nanos() as u64 * bytes / 1_024)
    }
}

/// How one thread stands for that of all, where only a share of its commands is simulated.
///
/// With so much longer costs it is as busy as with all. A queue of chance, which comes and goes, is then
/// the same queue in slower time: everybody waits so much longer, and in truth by the share of that. A
/// queue of overload is not: it grows by what arrives and is not done, in the sample as fast as in truth.
/// What is longer than chance makes it counts as overload. Between the two it is not exact; both ends are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dilation {
    share: f64,
    /// How long a queue of chance is at the most, in the time of the sample.
    chance: Duration,
}

impl Dilation {
    /// That of a `share`, 0 to 1, of the commands for a thread at which, were all of them simulated,
    /// nobody would wait longer than `chance` unless it is overloaded.
    pub fn new(share: f64, chance: Duration) -> Self {
        let share = share.clamp(f64::MIN_POSITIVE, 1.0);
        let chance = Duration::try_from_secs_f64(chance.as_secs_f64() / share);
        Self {
            share,
            chance: chance.unwrap_or(Duration::MAX),
        }
    }

    /// What a command costs the thread, and those that are left out beside it.
    pub fn cost(&self, cost: Duration) -> Duration {
        if self.share < 1.0 {
            cost.div_f64(self.share)
        } else {
            cost
        }
    }

    /// How long somebody waits in truth who waits for so long in the sample.
    pub fn wait(&self, waited: Duration) -> Duration {
        if self.share < 1.0 {
            let chance = waited.min(self.chance);
            chance.mul_f64(self.share) + waited.saturating_sub(chance)
        } else {
            waited
        }
    }
}

/// One thread with a queue in front of it.
#[derive(Clone, Debug)]
pub struct Thread {
    since: Timestamp,
    wakeup: Duration,
    free_at: Timestamp,
    busy: Duration,
    waited: Duration,
    commands: u64,
}

impl Thread {
    /// An idle thread, from `since` on. It is busy for `wakeup` in addition with a command that finds
    /// it idle.
    pub fn new(since: Timestamp, wakeup: Duration) -> Self {
        Self {
            since,
            wakeup,
            free_at: since,
            busy: Duration::ZERO,
            waited: Duration::ZERO,
            commands: 0,
        }
    }

    /// Takes a command that `arrives` then and keeps the thread busy for `cost`: when it is done.
    /// Commands are carried out in the order of the calls.
    pub fn take(&mut self, arrives: Timestamp, cost: Duration) -> Timestamp {
        self.take_waking(arrives, cost, self.wakeup)
    }

    /// The same with what it costs if the thread is idle.
    pub fn take_waking(
        &mut self,
        arrives: Timestamp,
        cost: Duration,
        wakeup: Duration,
    ) -> Timestamp {
        let cost = if arrives >= self.free_at {
            self.free_at = arrives;
            cost + wakeup
        } else {
            cost
        };
        self.commands += 1;
        self.waited += self.free_at.since(arrives);
        self.busy += cost;
        self.free_at = self.free_at + cost;
        self.free_at
    }

    /// Takes work of the server's own that it found at `at`: no command, and nobody woke it.
    pub fn occupy(&mut self, at: Timestamp, work: Duration) {
        self.busy += work;
        self.free_at = self.free_at.max(at) + work;
    }

    /// Takes work of the server's own that was done long since: nobody waits for it.
    pub fn was_busy(&mut self, work: Duration) {
        self.busy += work;
    }

    /// How many commands it took.
    pub fn commands(&self) -> u64 {
        self.commands
    }

    /// How long all commands together waited for their turn.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// How long it was busy until `now`.
    pub fn busy(&self, now: Timestamp) -> Duration {
        self.busy.saturating_sub(self.free_at.since(now))
    }

    /// The share of the time until `now` in which it was busy; `None` if no time has passed.
    pub fn utilisation(&self, now: Timestamp) -> Option<Ratio> {
        let span = now.since(self.since);
        (!span.is_zero()).then(|| Ratio(self.busy(now).as_secs_f64() / span.as_secs_f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use proptest::prelude::*;
    use rand::RngExt;

    const START: Timestamp = Timestamp::from_unix_nanos(1_000_000_000);

    fn at(us: u64) -> Timestamp {
        START + Duration::from_micros(us)
    }

    fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    #[test]
    fn commands_wait_for_their_turn() {
        let mut thread = Thread::new(START, us(10));
        assert_eq!(thread.utilisation(START), None);
        assert_eq!(thread.take(at(0), us(5)), at(15));
        assert_eq!(thread.take(at(1), us(5)), at(20));
        assert_eq!(thread.take(at(20), us(5)), at(35), "idle again");
        assert_eq!(thread.waited(), us(14));
        assert_eq!(thread.commands(), 3);
        assert_eq!(thread.busy(at(30)), us(30));
        assert_eq!(thread.utilisation(at(70)), Some(Ratio(0.5)));
    }

    #[test]
    fn costs_grow_with_the_value_where_it_is_carried() {
        let costs = CommandCosts::MEASURED;
        assert_eq!(costs.of(Command::Get, 0), costs.get);
        assert_eq!(
            costs.of(Command::Get, 2_048),
            costs.get + costs.read_per_kib * 2
        );
        assert!(costs.of(Command::Script, 10_240) > costs.of(Command::Set, 10_240));
        assert_eq!(costs.of(Command::Unlink, 1 << 20), costs.unlink);
    }

    /// Poisson arrivals at a constant service time: the mean wait of an M/D/1 queue is known,
    /// `cost * load / (2 * (1 - load))`.
    #[test]
    fn it_waits_as_long_as_queueing_theory_says() {
        let mut stream = Seed(42).stream("arrivals");
        for load in [0.3, 0.7, 0.9] {
            let mut thread = Thread::new(START, Duration::ZERO);
            let (cost_us, calls) = (10.0, 200_000);
            let mut arrives = START;
            for _ in 0..calls {
                let gap_us = -(1.0 - stream.random::<f64>()).ln() * cost_us / load;
                arrives = arrives + Duration::from_secs_f64(gap_us / 1e6);
                thread.take(arrives, us(10));
            }
            let mean_us = thread.waited().as_secs_f64() * 1e6 / f64::from(calls);
            let expected_us = cost_us * load / (2.0 * (1.0 - load));
            assert!(
                (mean_us / expected_us - 1.0).abs() < 0.1,
                "{load}: {mean_us}"
            );
            let used = thread.utilisation(arrives).map_or(0.0, |used| used.0);
            assert!((used - load).abs() < 0.01, "{load}: {used}");
        }
    }

    /// What a share of the arrivals, each at so much greater a cost, says of the waits of all.
    fn mean_wait_us(share: f64, load: f64, seconds: f64) -> f64 {
        let mut stream = Seed(7).stream("arrivals");
        let dilation = Dilation::new(share, us(50 * 64));
        let mut thread = Thread::new(START, Duration::ZERO);
        let (mut at_s, mut total, mut calls) = (0.0, 0.0, 0.0);
        loop {
            at_s += -(1.0 - stream.random::<f64>()).ln() * 50e-6 / load / share;
            if at_s > seconds {
                return total / calls;
            }
            let arrives = START + Duration::from_secs_f64(at_s);
            let busy = dilation.cost(us(50));
            let waited = thread.take(arrives, busy).since(arrives) - busy;
            total += dilation.wait(waited).as_secs_f64() * 1e6;
            calls += 1.0;
        }
    }

    #[test]
    fn a_share_of_the_commands_waits_as_all_do_at_ease_and_overloaded() {
        for load in [0.5, 0.8] {
            let (whole, sample) = (mean_wait_us(1.0, load, 40.0), mean_wait_us(0.1, load, 40.0));
            assert!(
                (sample / whole - 1.0).abs() < 0.1,
                "{load}: {whole} {sample}"
            );
        }
        // Twice what it can do: after 2 s the backlog is 2 s, and on the average 1 s.
        let (whole, sample) = (mean_wait_us(1.0, 2.0, 2.0), mean_wait_us(0.1, 2.0, 2.0));
        assert!((whole / 1e6 - 1.0).abs() < 0.02, "{whole}");
        assert!((sample / whole - 1.0).abs() < 0.05, "{whole} {sample}");
    }

    proptest! {
        #[test]
        fn it_is_busy_as_long_as_its_commands_cost(
            commands in prop::collection::vec((0u64..50, 0u64..20), 1..100),
        ) {
            let mut thread = Thread::new(START, Duration::ZERO);
            let (mut now, mut done_before, mut total) = (START, START, Duration::ZERO);
            for (gap, cost) in commands {
                now = now + us(gap);
                let done = thread.take(now, us(cost));
                prop_assert!(done >= now + us(cost) && done >= done_before + us(cost));
                done_before = done;
                total += us(cost);
                prop_assert!(thread.busy(now) <= now.since(START));
            }
            prop_assert_eq!(thread.busy(done_before), total);
        }
    }
}
