//! Our drivers, and the client beneath them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cachestorm::clock::{Clock, Timestamp};
use cachestorm::drivers::arrivals::Source;
use cachestorm::drivers::closed_loop::ClosedLoop;
use cachestorm::drivers::crowd::{Call, Caller as _, Users};
use cachestorm::drivers::http::face::InstanceFace;
use cachestorm::drivers::http::{HttpCaller, HttpTargets};
use cachestorm::drivers::open_loop::OpenLoop;
use cachestorm::engine::data_type::DataTypeId;
use cachestorm::engine::layer::{Layer, Operation, Outcome};
use cachestorm::measure::loop_delay::LoopDelay;
use cachestorm::measure::measurements::Measurements;
use cachestorm::measure::query::Query;
use cachestorm::measure::recorder::Recorder;
use cachestorm::measure::sink::SampleSink;
use cachestorm::measure::{PhaseId, PhaseKind, Schedule};
use cachestorm::units::Rate;
use cachestorm::workload::arrivals::{Arrivals, PhaseArrivals, Shape};
use cachestorm::workload::size::ValueSizes;
use cachestorm::workload::user::Traffic;
use cachestorm::workload::{KeyParams, Request, UserKindId};
use tokio::runtime::Builder;
use tokio::sync::watch;

use super::{Bench, Made, SETTLE, TIMEOUT, processors};

impl Bench {
    fn users(&self, clock: &Clock, schedule: &Arc<Schedule>) -> (Users, Arc<Recorder>) {
        let policies = &self.plan.policies;
        let recorder = Arc::new(Recorder::new(
            clock.clone(),
            Arc::clone(schedule),
            Arc::clone(policies),
            None,
        ));
        let traffic = Traffic::new(&self.plan.workload, policies, self.plan.seed);
        // Nobody stops it.
        let (_, stop) = watch::channel(false);
        let users = Users {
            traffic,
            policies: Arc::clone(policies),
            count: self.connections,
            ramp: Duration::from_millis(1),
            rhythm: None,
            request_timeout: TIMEOUT,
            value_sizes: ValueSizes::constant(&[]),
            clock: clock.clone(),
            schedule: Arc::clone(schedule),
            sink: Arc::clone(&recorder) as Arc<dyn SampleSink>,
            stop,
        };
        (users, recorder)
    }

    /// Counts after `settle`, in which connections are made.
    fn schedule(&self, clock: &Clock, settle: Duration) -> (Timestamp, Arc<Schedule>) {
        let start = clock.now() + Duration::from_millis(200);
        let settle = ("settle".to_owned(), PhaseKind::WarmUp, settle);
        let steady = ("steady".to_owned(), PhaseKind::Measure, self.span);
        (start, Arc::new(Schedule::new(start, [settle, steady])))
    }

    fn face(&self) -> InstanceFace {
        InstanceFace {
            policies: Arc::clone(&self.plan.policies),
            value_sizes: ValueSizes::constant(&[]),
        }
    }

    /// Our open loop at an offered rate, as many under way as there are connections.
    pub(super) fn open(&self, per_s: f64, settle: Duration) -> (Made, Measurements) {
        let clock = Clock::real();
        let (start, schedule) = self.schedule(&clock, settle);
        let (mut users, recorder) = self.users(&clock, &schedule);
        let (stop, stopped) = watch::channel(false);
        users.stop = stopped;
        let arrivals = Arrivals {
            shape: Shape::Constant(Rate { per_s }),
            poisson: false,
        };
        let phases = vec![PhaseArrivals {
            duration: settle + self.span,
            arrivals: Some(arrivals),
        }];
        let traffic = Arc::clone(&users.traffic);
        let open = OpenLoop {
            loop_delay: LoopDelay::default(),
            source: Source::Paced {
                traffic,
                phases,
                start,
            },
            in_flight: self.connections,
            users,
        };
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let targets = [self.url.clone()];
            let driving = open.run(|| self.face(), &targets);
            let over = async {
                clock.sleep_until(schedule.end()).await;
                stop.send_replace(true);
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                driven = driving => {
                    driven.expect("driven");
                }
                () = over => {}
            }
        });
        let measured = recorder.finish();
        (made(&measured, self.span), measured)
    }

    /// Our closed loop: goose's users, who never think, with our client and our recorder.
    pub(super) fn closed(&self) -> Made {
        let clock = Clock::real();
        let (_, schedule) = self.schedule(&clock, SETTLE);
        let (mut users, recorder) = self.users(&clock, &schedule);
        let (_keep, stopped) = watch::channel(false);
        users.stop = stopped;
        let targets = vec![self.url.clone()];
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let driven = runtime.block_on(ClosedLoop { users, targets }.run());
        driven.expect("driven");
        made(&recorder.finish(), self.span)
    }

    /// The client alone, in a loop: as many at once as there are connections.
    pub(super) fn client(&self) -> Made {
        let clock = Clock::real();
        let start = clock.now();
        let steady = ("steady".to_owned(), PhaseKind::Measure, self.span);
        let schedule = Arc::new(Schedule::new(start, [steady]));
        let (_, recorder) = self.users(&clock, &schedule);
        let threads = processors() as u32;
        std::thread::scope(|scope| {
            for at in 0..threads {
                let (clock, recorder) = (clock.clone(), Arc::clone(&recorder));
                let at_once = (self.connections + at) / threads;
                scope.spawn(move || {
                    let runtime = Builder::new_current_thread().enable_all().build();
                    let runtime = runtime.expect("a runtime");
                    runtime.block_on(self.ask(at_once, clock, recorder));
                });
            }
        });
        made(&recorder.finish(), self.span)
    }

    async fn ask(&self, at_once: u32, clock: Clock, recorder: Arc<Recorder>) {
        let to = HttpTargets {
            urls: vec![self.url.clone()],
            request_timeout: TIMEOUT,
            connections_max: at_once as usize,
        };
        let policies = Arc::clone(&self.plan.policies);
        let caller = HttpCaller::new(self.face(), policies, clock.clone(), &to);
        let caller = Arc::new(caller.expect("a good target"));
        let end = Instant::now() + self.span;
        let mut tasks = tokio::task::JoinSet::new();
        for user in 0..at_once {
            let (caller, recorder, clock) =
                (Arc::clone(&caller), Arc::clone(&recorder), clock.clone());
            tasks.spawn(async move {
                let request = Request {
                    data_type: DataTypeId(0),
                    operation: Operation::Get,
                    params: KeyParams::new(&[0]),
                };
                let mut sequence = 0;
                while Instant::now() < end {
                    let call = Call {
                        instance: 0,
                        request: &request,
                        user: u64::from(user),
                        user_kind: UserKindId(0),
                        sequence,
                        phase: PhaseId(0),
                        intended_start: clock.now(),
                        waited: Duration::ZERO,
                    };
                    recorder.record(caller.call(call).await);
                    sequence += 1;
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    }
}

pub(super) fn rate_of(measured: &Measurements, span: Duration) -> f64 {
    measured.count(&Query::default()) as f64 / span.as_secs_f64()
}

fn made(measured: &Measurements, span: Duration) -> Made {
    let all = Query::default();
    let hits = measured.count(&Query {
        outcome: Some(Outcome::Hit),
        layer: Some(Layer::Local),
        ..all
    });
    let service_time = measured.service_time(&all);
    Made {
        requests_per_s: rate_of(measured, span),
        requests: None,
        p50_us: service_time.quantile_us(0.5),
        p99_us: service_time.quantile_us(0.99),
        failed: measured.count(&all) - hits,
        cpu_us: (0.0, 0.0),
    }
}
