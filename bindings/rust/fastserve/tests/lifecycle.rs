//! What Rust adds to the conformance cases: Drop in any order, errors, threads, streams.
use fastserve::{Engine, EngineConfig, ErrorKind, FinishReason, Generation, Hooks, Model, Options};
use std::ops::ControlFlow;

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conformance/tiny.gguf.bin");
const CAT: &str = " sat on the mat. The dog sat on the log.";

fn engine() -> Engine {
    Engine::new(EngineConfig { thread_count: 1, ..Default::default() }).unwrap()
}

fn endless<'a>() -> Options<'a> {
    let mut options = Options::default();
    options.config.ignore_eos = 1;
    options.config.max_tokens = 100_000_000;
    options.config.context_full = fastserve::sys::FSV_CONTEXT_SLIDE;
    options
}

fn is_thread_safe<T: Send + Sync>() {}

#[test]
fn types_are_send_and_sync() {
    is_thread_safe::<Engine>();
    is_thread_safe::<Model>();
    is_thread_safe::<Generation>();
    is_thread_safe::<fastserve::Session>();
    is_thread_safe::<fastserve::Error>();
}

#[test]
fn errors_have_the_librarys_message() {
    let error = engine().load("nowhere.gguf").err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("nowhere.gguf"));
    let boxed: Box<dyn std::error::Error + Send + Sync> = error.into();
    assert!(!boxed.to_string().is_empty());
}

#[test]
fn memory_is_told_to_hook_and_events() {
    let (sender, told) = std::sync::mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let on_memory = move |event: fastserve::MemoryEvent| {
        sender.lock().unwrap().send(event.pressure).unwrap();
        panic!("a hook that panics");
    };
    let config = EngineConfig { thread_count: 1, memory_events: 1, ..Default::default() };
    let hooks = Hooks { on_memory: Some(Box::new(on_memory)), ..Default::default() };
    let engine = Engine::with_hooks(config, hooks).unwrap();
    let model = engine.load(TINY).unwrap();
    engine.trim(fastserve::sys::FSV_TRIM_MODELS).unwrap();
    let event = engine.next_memory_event(None).unwrap();
    assert_eq!((event.pressure, event.budget_bytes), (fastserve::sys::FSV_PRESSURE_MODELS, 0));
    assert_eq!(model.memory().unwrap().state, fastserve::sys::FSV_MODEL_EVICTED);
    assert_eq!(told.recv().unwrap(), fastserve::sys::FSV_PRESSURE_MODELS);
    assert_eq!(model.generate("The cat", Options::default().greedy()).unwrap().text().unwrap(), CAT);
    assert_eq!(told.recv().unwrap(), fastserve::sys::FSV_PRESSURE_RELOADED);
}

#[test]
fn alternatives_of_each_token() {
    let model = engine().load(TINY).unwrap();
    let mut options = Options::default().greedy();
    options.config.logprob_count = 3;
    options.config.report_logprobs = 1;
    let mut count = 0;
    for piece in model.generate("The cat", options).unwrap() {
        let piece = piece.unwrap();
        assert_eq!(piece.top_logprobs.len(), piece.token_ids.len());
        for (at, row) in piece.top_logprobs.iter().enumerate() {
            assert_eq!(row.len(), 3);
            assert_eq!((row[0].token_id, row[0].logprob), (piece.token_ids[at], piece.logprobs[at]));
            assert!(row[0].logprob >= row[1].logprob && row[1].logprob >= row[2].logprob);
            count += 1;
        }
    }
    assert!(count > 1);
}

#[test]
fn progress_cancels() {
    let engine = engine();
    let loaded = engine.load_with(TINY, Default::default(), |_, _| ControlFlow::Break(()));
    assert_eq!(loaded.err().unwrap().kind(), ErrorKind::Cancelled);
    assert_eq!(engine.memory_stats().unwrap().model_count, 0);
}

#[test]
fn closed_twice_and_used_afterwards() {
    let engine = engine();
    let model = engine.load(TINY).unwrap();
    let mut stream = model.generate("tick tock", endless()).unwrap();
    assert!(stream.next().unwrap().is_ok());
    stream.close();
    stream.close();
    assert!(stream.next().is_none());
    model.close();
    model.close();
    assert_eq!(model.generate("x", Options::default()).err().unwrap().kind(), ErrorKind::Stale);
    engine.close();
    engine.close();
    assert_eq!(engine.memory_stats().err().unwrap().kind(), ErrorKind::Stale);
}

#[test]
fn dropped_in_any_order() {
    for order in 0..24 {
        let engine = engine();
        let model = engine.load(TINY).unwrap();
        let session = model.session().unwrap();
        let mut stream = model.generate("tick tock", Options { session: Some(&session), ..endless() }).unwrap();
        assert!(stream.next().unwrap().is_ok());
        let mut drops: Vec<Box<dyn FnOnce()>> = vec![
            Box::new(move || drop(engine)),
            Box::new(move || drop(model)),
            Box::new(move || drop(session)),
            Box::new(move || drop(stream)),
        ];
        let mut code = order;
        while !drops.is_empty() {
            let at = code % drops.len();
            code /= drops.len();
            drops.remove(at)();
        }
    }
}

#[test]
fn closed_by_another_thread() {
    let engine = engine();
    let model = engine.load(TINY).unwrap();
    let mut stream = model.generate("tick tock", endless()).unwrap();
    assert!(stream.next().unwrap().is_ok());
    let other = engine.clone();
    let closer = std::thread::spawn(move || other.close());
    match stream.text() {
        Ok(_) => assert_eq!(stream.end().unwrap().reason, FinishReason::Shutdown),
        Err(error) => assert!(!error.message().is_empty()),
    }
    closer.join().unwrap();
}

#[cfg(feature = "stream")]
mod stream {
    use super::*;
    use futures_core::Stream;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Wake, Waker};

    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    fn next(stream: &mut Generation) -> Option<fastserve::Result<fastserve::Piece>> {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut *stream).poll_next(&mut context) {
                Poll::Ready(item) => return item,
                Poll::Pending => std::thread::park(),
            }
        }
    }

    #[test]
    fn tasks_are_woken() {
        let engine = engine();
        let model = engine.load(TINY).unwrap();
        let mut stream = model.generate("The cat", Options::default().greedy()).unwrap();
        let mut text = String::new();
        while let Some(piece) = next(&mut stream) {
            text += &piece.unwrap().text;
        }
        assert_eq!(text, CAT);
    }

    #[test]
    fn tasks_learn_that_the_engine_was_closed() {
        let engine = engine();
        let model = engine.load(TINY).unwrap();
        engine.pause().unwrap();
        let mut stream = model.generate("The cat", endless()).unwrap();
        let other = engine.clone();
        let closer = std::thread::spawn(move || other.close());
        while let Some(piece) = next(&mut stream) {
            if piece.is_err() {
                break;
            }
        }
        closer.join().unwrap();
    }
}

#[test]
fn threads_wait_side_by_side() {
    let engine = engine();
    let model = engine.load(TINY).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let text = model.generate("The cat", Options::default().greedy()).unwrap().text().unwrap();
                assert_eq!(text, CAT);
            });
        }
    });
}

#[test]
fn sessions_are_exported_and_logs_may_panic() {
    let lines = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = lines.clone();
    let log = move |level: i32, line: &str| {
        seen.lock().unwrap().push((level, line.to_owned()));
        std::panic::resume_unwind(Box::new("a log that panics")); // without a report on stderr
    };
    let config = EngineConfig { thread_count: 1, log_level: 4, ..Default::default() };
    let engine = Engine::with_hooks(config, Hooks { log: Some(Box::new(log)), ..Default::default() }).unwrap();
    let model = engine.load(TINY).unwrap();
    let session = model.session().unwrap();
    let options = Options { session: Some(&session), ..Options::default().greedy() };
    assert_eq!(model.generate("The cat", options).unwrap().text().unwrap(), CAT);
    let mut bytes = session.export().unwrap();
    assert_eq!(model.import_session(&bytes).unwrap().token_ids(), session.token_ids());
    bytes.pop();
    assert_eq!(model.import_session(&bytes).err().unwrap().kind(), ErrorKind::Corrupt);
    drop((session, model, engine));
    assert!(lines.lock().unwrap().iter().all(|(level, line)| (1..5).contains(level) && !line.is_empty()));
}
