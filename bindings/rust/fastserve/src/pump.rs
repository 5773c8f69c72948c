//! Hands an engine's events to those who wait for them, without a thread of its own: of all threads that wait, one polls
//! for everyone.
use crate::error::{call, Error, Result};
use crate::generation::{End, Item, Piece};
use crate::handle::Handle;
use crate::hooks::{Called, MemoryEvent};
use crate::sys;
use std::collections::{HashMap, VecDeque};
use std::mem::{size_of, MaybeUninit};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

const BATCH: usize = 64;

/// What every object of an engine shares.
pub(crate) struct Shared {
    pub engine: Handle<sys::fsv_engine>,
    _called: Called, // dropped after the engine: fields go in their order
    pub memory: Arc<Sink>, // of MEMORY events, which bring no key back
    is_pumped: bool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    has_leader: bool,
    #[cfg_attr(not(feature = "stream"), allow(dead_code))]
    has_thread: bool,
    last_key: u64,
    sinks: HashMap<u64, Arc<Sink>>,
}

/// What one request or load has yet to say. Events name it by its key, which comes back as user_data.
pub(crate) struct Sink {
    pub key: u64,
    inner: Mutex<SinkState>,
}

#[derive(Default)]
struct SinkState {
    items: VecDeque<Item>,
    waker: Option<Waker>,
}

impl Sink {
    #[cfg_attr(not(feature = "stream"), allow(dead_code))]
    pub fn take_or_wake(&self, waker: &Waker) -> Option<Item> {
        let mut inner = locked(&self.inner);
        let item = inner.items.pop_front();
        inner.waker = item.is_none().then(|| waker.clone());
        item
    }

    fn take(&self) -> Option<Item> {
        locked(&self.inner).items.pop_front()
    }

    /// One event at most, however long nobody asks.
    fn put_memory(&self, mut event: MemoryEvent) {
        if let Some(Item::Memory(earlier)) = self.take() {
            event.pressure |= earlier.pressure;
        }
        self.put(Item::Memory(event));
    }

    fn put(&self, item: Item) {
        let mut inner = locked(&self.inner);
        inner.items.push_back(item);
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn timed_out() -> Error {
    Error::new(sys::FSV_ERROR_TIMEOUT, "no event within the time given")
}

impl Shared {
    pub fn new(engine: Handle<sys::fsv_engine>, is_pumped: bool, called: Called) -> Shared {
        let memory = Arc::new(Sink { key: 0, inner: Mutex::default() });
        let state = Mutex::new(State { sinks: HashMap::from([(0, memory.clone())]), ..State::default() });
        Shared { engine, _called: called, memory, is_pumped, state, changed: Condvar::new() }
    }

    pub fn open(&self) -> Arc<Sink> {
        let mut state = locked(&self.state);
        state.last_key += 1;
        let sink = Arc::new(Sink { key: state.last_key, inner: Mutex::default() });
        state.sinks.insert(sink.key, sink.clone());
        sink
    }

    pub fn close(&self, sink: &Sink) {
        locked(&self.state).sinks.remove(&sink.key);
    }

    /// Waits for the next item of `sink`, at most until `deadline`.
    pub fn next(&self, sink: &Sink, deadline: Option<Instant>) -> Result<Item> {
        let mut may_wait = true;
        let mut state = locked(&self.state);
        loop {
            if let Some(item) = sink.take() {
                return Ok(item);
            }
            if !may_wait {
                return Err(timed_out());
            }
            if state.has_leader {
                state = match deadline {
                    None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                    Some(deadline) => {
                        let left = deadline.saturating_duration_since(Instant::now());
                        let waited = self.changed.wait_timeout(state, left);
                        waited.unwrap_or_else(PoisonError::into_inner).0
                    }
                };
            } else {
                state.has_leader = true;
                drop(state);
                let led = self.lead(deadline);
                state = locked(&self.state);
                state.has_leader = false;
                self.changed.notify_all();
                led?;
            }
            may_wait = deadline.map_or(true, |deadline| Instant::now() < deadline);
        }
    }

    /// Waits for events and hands them out; one thread at a time. A time that ran out is no failure here.
    fn lead(&self, deadline: Option<Instant>) -> Result<()> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout_us = left.map_or(u64::MAX, |left: Duration| left.as_micros().min(u64::MAX as u128) as u64);
        if self.is_pumped {
            let mut more = 0;
            // SAFETY: the engine's own number, a place for the result.
            call(|error| unsafe { sys::fsv_engine_step(self.engine.get(), 0, &mut more, error) })?;
        } else {
            // SAFETY: the engine's own number.
            match call(|error| unsafe { sys::fsv_wait(self.engine.get(), timeout_us, error) }) {
                Err(error) if error.status() == sys::FSV_ERROR_TIMEOUT => return Ok(()),
                other => other?,
            }
        }
        let mut events = [MaybeUninit::<sys::fsv_event>::uninit(); BATCH];
        let mut count = 0;
        // SAFETY: room for BATCH events of the size told; only one thread polls.
        call(|error| unsafe {
            let first = events.as_mut_ptr().cast();
            sys::fsv_poll(self.engine.get(), first, size_of::<sys::fsv_event>(), BATCH, &mut count, error)
        })?;
        let mut state = locked(&self.state);
        for event in &events[..count] {
            // SAFETY: the library filled in the first `count`; their pointers live until the next poll.
            deliver(&mut state, unsafe { event.assume_init_ref() });
        }
        Ok(())
    }

    /// For tasks, which cannot wait themselves: a thread that polls until the engine ends.
    #[cfg(feature = "stream")]
    pub fn start_thread(self: &Arc<Shared>) {
        let mut state = locked(&self.state);
        if !std::mem::replace(&mut state.has_thread, true) {
            let weak = Arc::downgrade(self);
            std::thread::spawn(move || poll_for_tasks(weak));
        }
    }

    #[cfg(feature = "stream")]
    fn wake_all(&self) {
        for sink in locked(&self.state).sinks.values() {
            if let Some(waker) = locked(&sink.inner).waker.take() {
                waker.wake();
            }
        }
    }
}

#[cfg(feature = "stream")]
fn poll_for_tasks(shared: std::sync::Weak<Shared>) {
    // Looks up again now and then, so that it does not keep the engine from ending.
    const PATIENCE: Duration = Duration::from_millis(50);
    while let Some(shared) = shared.upgrade() {
        let nobody = Sink { key: 0, inner: Mutex::default() };
        let waited = shared.next(&nobody, Some(Instant::now() + PATIENCE));
        if waited.is_err_and(|error| error.status() != sys::FSV_ERROR_TIMEOUT) {
            locked(&shared.state).has_thread = false;
            return shared.wake_all();
        }
    }
}

fn deliver(state: &mut State, event: &sys::fsv_event) {
    let Some(sink) = state.sinks.get(&event.user_data) else {
        return; // of a request that was closed before its end
    };
    match event.r#type {
        sys::FSV_EVENT_TOKENS | sys::FSV_EVENT_SCORE => sink.put(Item::Piece(Piece::copied(event))),
        sys::FSV_EVENT_LOAD_PROGRESS => sink.put(Item::Progress(event.bytes_done, event.bytes_total)),
        sys::FSV_EVENT_CHOICE_FINISHED => {}
        sys::FSV_EVENT_MEMORY => {
            let (used_bytes, budget_bytes) = (event.bytes_done, event.bytes_total);
            sink.put_memory(MemoryEvent { pressure: event.pressure, used_bytes, budget_bytes });
        }
        _ => {
            sink.put(Item::End(End::copied(event)));
            state.sinks.remove(&event.user_data);
        }
    }
}
