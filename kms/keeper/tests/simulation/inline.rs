//! A keeper's call in the simulation: what it gives to other threads is waited for on the spot, so that it takes no
//! virtual time and no thread decides an order; what it asks of the world outside, the simulation decides.
//!
//! Each call has a tokio runtime of its own with one thread to lend, which does things one after another. The call is
//! driven until it, and all that it spawned, wait for the world outside.

use std::{
    cell::RefCell,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::{Builder, Runtime};

use super::town::lock;

/// How long threads may take until the test is wrong.
const PATIENCE: Duration = Duration::from_secs(120);

thread_local! {
    /// Who polls the call that is being polled, and what waits in it.
    static CALL: RefCell<Option<(Waker, Arc<Mutex<Waiting>>)>> = const { RefCell::new(None) };
}

/// The parts of a call that wait for the world outside.
#[derive(Default)]
struct Waiting {
    /// How often the simulation has polled the call: what waited before is polled again and counted anew.
    turn: u64,
    count: usize,
    wakers: Vec<Waker>,
}

impl Waiting {
    /// Begins a turn; whom to wake.
    fn next(&mut self) -> Vec<Waker> {
        self.turn += 1;
        self.count = 0;
        std::mem::take(&mut self.wakers)
    }
}

/// Whether the call itself, and not what it spawned, is to be polled.
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// A call of a keeper.
pub(crate) struct Inline<F> {
    call: Pin<Box<F>>,
    bell: Arc<Bell>,
    waiting: Arc<Mutex<Waiting>>,
    runtime: Runtime,
}

impl<F: Future> Inline<F> {
    pub(crate) fn new(call: F) -> Self {
        Self {
            call: Box::pin(call),
            bell: Arc::new(Bell(AtomicBool::new(true))),
            waiting: Arc::default(),
            runtime: Builder::new_current_thread().max_blocking_threads(1).build().unwrap(),
        }
    }

    /// Drives the call until it is done, or everything in it waits for the world outside.
    fn drive(&mut self) -> Poll<F::Output> {
        let Self { call, bell, waiting, runtime } = self;
        let (waker, metrics) = (Waker::from(bell.clone()), runtime.metrics());
        let began = Instant::now();
        runtime.block_on(poll_fn(|context| {
            if bell.0.swap(false, SeqCst)
                && let Poll::Ready(value) = call.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return Poll::Ready(Poll::Ready(value));
            }
            // A call that spawned something waits for that, and each part for one thing.
            if !bell.0.load(SeqCst) && lock(waiting).count >= metrics.num_alive_tasks().max(1) {
                return Poll::Ready(Poll::Pending);
            }
            assert!(began.elapsed() < PATIENCE, "a keeper waits for what nobody does");
            thread::yield_now();
            context.waker().wake_by_ref();
            Poll::Pending
        }))
    }
}

impl<F: Future> Future for Inline<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        CALL.set(Some((context.waker().clone(), self.waiting.clone())));
        let woken = lock(&self.waiting).next();
        woken.into_iter().for_each(Waker::wake);
        let polled = self.drive();
        CALL.set(None);
        polled
    }
}

/// What a keeper's call waits for outside of itself: the simulation goes on meanwhile.
pub(crate) struct Outside<F> {
    what: Pin<Box<F>>,
    /// Where and in which turn it is counted among those that wait.
    counted: Option<(Arc<Mutex<Waiting>>, u64)>,
}

impl<F: Future> Outside<F> {
    pub(crate) fn new(what: F) -> Self {
        Self { what: Box::pin(what), counted: None }
    }
}

impl<F> Outside<F> {
    fn discount(&mut self) {
        if let Some((waiting, turn)) = self.counted.take() {
            let mut waiting = lock(&waiting);
            if waiting.turn == turn {
                waiting.count -= 1;
            }
        }
    }
}

impl<F: Future> Future for Outside<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let (simulation, waiting) = CALL.with_borrow(Clone::clone).expect("polled within a keeper's call");
        let polled = self.what.as_mut().poll(&mut Context::from_waker(&simulation));
        self.discount();
        if polled.is_pending() {
            let mut of_the_call = lock(&waiting);
            of_the_call.count += 1;
            of_the_call.wakers.push(context.waker().clone());
            let turn = of_the_call.turn;
            drop(of_the_call);
            self.counted = Some((waiting, turn));
        }
        polled
    }
}

impl<F> Drop for Outside<F> {
    fn drop(&mut self) {
        self.discount();
    }
}
