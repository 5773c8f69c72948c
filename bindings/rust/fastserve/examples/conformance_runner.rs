//! The Rust runner of bindings/conformance: one command a line in, one reply a line out.
use fastserve::{sys, Engine, EngineConfig, Error, Generation, Hooks, LoadConfig, Message, Model, Options, Piece, Session};
use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::ops::{ControlFlow, Range};
use std::time::Duration;

type Fields = HashMap<String, String>;
type Reply = Result<Vec<(&'static str, String)>, Error>;

#[derive(Default)]
struct Objects {
    engines: HashMap<String, Engine>,
    models: HashMap<String, Model>,
    sessions: HashMap<String, Session>,
    streams: HashMap<String, (Generation, String, Vec<i32>)>,
}

fn number<T: std::str::FromStr>(a: &Fields, name: &str) -> Option<T> {
    a.get(name).and_then(|text| text.parse().ok())
}

fn joined(ids: &[i32]) -> String {
    ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

fn ids_of(text: &str) -> Vec<i32> {
    text.split(',').filter_map(|part| part.parse().ok()).collect()
}

fn flag(value: bool) -> String {
    u8::from(value).to_string()
}

fn add(piece: &Piece, text: &mut String, ids: &mut Vec<i32>) {
    *text += &piece.text;
    ids.extend(&piece.token_ids);
}

fn finish(stream: &mut Generation, mut text: String, mut ids: Vec<i32>) -> Reply {
    for piece in stream.by_ref() {
        add(&piece?, &mut text, &mut ids);
    }
    let end = stream.end().expect("an end without a failure");
    let reason = format!("{:?}", end.reason).to_lowercase();
    Ok(vec![
        ("whole_code_points", flag(!text.contains('\u{fffd}'))),
        ("text", text),
        ("ids", joined(&ids)),
        ("finish", reason),
        ("prompt_tokens", end.prompt_tokens.to_string()),
        ("generated_tokens", end.generated_tokens.to_string()),
        ("cached_tokens", end.cached_tokens.to_string()),
    ])
}

impl Objects {
    fn open(&mut self, a: &Fields) -> Reply {
        let mut config = EngineConfig { thread_count: number(a, "thread_count").unwrap_or(1), ..Default::default() };
        config.memory_events = number(a, "memory_events").unwrap_or(0);
        config.mode = number(a, "mode").unwrap_or(config.mode);
        config.context_tokens = number(a, "context_tokens").unwrap_or(0);
        config.max_sequences = number(a, "max_sequences").unwrap_or(0);
        config.memory_budget_bytes = number(a, "memory_budget_bytes").unwrap_or(0);
        let hooks = Hooks { write_folder: a.get("write_folder").cloned(), ..Default::default() };
        self.engines.insert(a["id"].clone(), Engine::with_hooks(config, hooks)?);
        Ok(vec![])
    }

    fn load(&mut self, a: &Fields) -> Reply {
        let mut seen = Vec::new();
        let config = LoadConfig { flags: number(a, "flags").unwrap_or(0), ..Default::default() };
        let model = self.engines[&a["engine"]].load_with(&a["path"], config, |done, total| {
            seen.push((done, total));
            ControlFlow::Continue(())
        })?;
        self.models.insert(a["id"].clone(), model);
        let is_monotonic = seen.windows(2).all(|pair| pair[0].0 <= pair[1].0);
        let is_complete = seen.last().is_some_and(|&(done, total)| done == total && total > 0);
        Ok(vec![("monotonic", flag(is_monotonic)), ("complete", flag(is_complete))])
    }

    fn begin(&self, a: &Fields) -> Result<Generation, Error> {
        let model = &self.models[&a["model"]];
        let mut options = Options::default();
        let config = &mut options.config;
        config.max_tokens = number(a, "max_tokens").unwrap_or(config.max_tokens);
        config.ignore_eos = number(a, "ignore_eos").unwrap_or(0);
        config.context_full = number(a, "context_full").unwrap_or(0);
        config.speculation = number(a, "speculation").unwrap_or(0);
        config.priority = number(a, "priority").unwrap_or(0);
        config.choice_count = number(a, "choice_count").unwrap_or(config.choice_count);
        if ["temperature", "seed", "top_k"].iter().any(|name| a.contains_key(*name)) {
            let mut sampling = model.default_sampling()?;
            sampling.temperature = number(a, "temperature").unwrap_or(sampling.temperature);
            sampling.seed = number(a, "seed").unwrap_or(sampling.seed);
            sampling.top_k = number(a, "top_k").unwrap_or(sampling.top_k);
            options.sampling = Some(sampling);
        }
        options.stop.extend(a.get("stop").cloned());
        options.session = a.get("session").map(|name| &self.sessions[name]);
        if let Some(prompt) = a.get("prompt") {
            return model.generate(prompt, options);
        }
        if let Some(ids) = a.get("prompt_ids") {
            return model.generate(&ids_of(ids), options);
        }
        let message = |role, key| a.get(key).map(|content| Message { role, content });
        let roles = [("system", "system"), ("user", "user"), ("assistant", "reply"), ("user", "then")];
        let messages: Vec<_> = roles.iter().filter_map(|&(role, key)| message(role, key)).collect();
        model.chat(&messages, options)
    }

    fn next(&mut self, a: &Fields) -> Reply {
        let (stream, text, ids) = self.streams.get_mut(&a["stream"]).expect("a stream");
        let next = match number(a, "timeout_us") {
            Some(timeout) => stream.next_timeout(Duration::from_micros(timeout)),
            None => stream.next(),
        };
        let piece = next.transpose()?;
        if let Some(piece) = &piece {
            add(piece, text, ids);
        }
        Ok(vec![("end", flag(piece.is_none()))])
    }

    fn rest(&mut self, a: &Fields) -> Reply {
        let (stream, text, ids) = self.streams.get_mut(&a["stream"]).expect("a stream");
        finish(stream, std::mem::take(text), std::mem::take(ids))
    }

    fn cancel_elsewhere(&mut self, a: &Fields) -> Reply {
        self.next(a)?;
        let canceller = self.streams[&a["stream"]].0.canceller();
        let thread = std::thread::spawn(move || canceller.cancel());
        let reply = self.rest(a);
        thread.join().expect("the thread ended well");
        reply
    }

    fn concurrent(&self, a: &Fields) -> Reply {
        let count: usize = number(a, "count").unwrap_or(0);
        let texts: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..count).map(|_| scope.spawn(|| self.begin(a)?.text())).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Result<_, Error>>()
        })?;
        Ok(vec![("same", flag(texts.iter().all(|text| *text == texts[0]))), ("text", texts[0].clone())])
    }

    fn close(&mut self, id: &str) -> Reply {
        if let Some((stream, _, _)) = self.streams.get_mut(id) {
            stream.close();
        }
        self.sessions.get(id).map(Session::close);
        self.models.get(id).map(Model::close);
        self.engines.get(id).map(Engine::close);
        Ok(vec![])
    }

    fn sessions_command(&mut self, word: &str, a: &Fields) -> Reply {
        let made = match word {
            "session" => self.models[&a["model"]].session()?,
            "fork" => self.sessions[&a["session"]].fork(None)?,
            "truncate" => {
                return self.sessions[&a["session"]].truncate(number(a, "tokens").unwrap_or(0)).map(|()| vec![])
            }
            "transfer" => {
                let mut bytes = self.sessions[&a["session"]].export()?;
                if a.contains_key("damaged") {
                    *bytes.last_mut().expect("a session's bytes") ^= 1;
                }
                self.models[&a["model"]].import_session(&bytes)?
            }
            "restore" => self.models[&a["model"]].load_session(&a["path"])?,
            "save" => return self.sessions[&a["session"]].save(&a["name"]).map(|()| vec![]),
            "undo" => return self.sessions[&a["session"]].undo().map(|()| vec![]),
            _ => {
                let info = self.sessions[&a["session"]].info()?;
                return Ok(vec![
                    ("tokens", info.token_count.to_string()),
                    ("turns", info.turn_count.to_string()),
                    ("ids", joined(&self.sessions[&a["session"]].token_ids()?)),
                ]);
            }
        };
        self.sessions.insert(a["id"].clone(), made);
        Ok(vec![])
    }

    fn text_command(&mut self, word: &str, a: &Fields) -> Reply {
        let model = &self.models[&a["model"]];
        match word {
            "info" => Ok(vec![
                ("architecture", model.architecture()?),
                ("name", model.name()?),
                ("vocabulary_size", model.info()?.vocabulary_size.to_string()),
            ]),
            "evict" => model.evict().map(|()| vec![]),
            "model_memory" => Ok(vec![("state", model.memory()?.state.to_string())]),
            "tokenize" => Ok(vec![("ids", joined(&model.tokenize(&a["text"])?))]),
            "detokenize" => {
                let bytes = model.detokenize(&ids_of(&a["ids"]))?;
                Ok(vec![("text", String::from_utf8_lossy(&bytes).into_owned())])
            }
            "chat_ids" => {
                let message = Message { role: &a["role"], content: &a["content"] };
                Ok(vec![("ids", joined(&model.tokenize_chat(&[message])?))])
            }
            "ranges" => {
                let found = model.tokenize_ranges(&a["text"])?;
                let column = |of: fn(&(i32, Range<usize>)) -> i32| joined(&found.iter().map(of).collect::<Vec<_>>());
                let (starts, ends) = (column(|(_, range)| range.start as i32), column(|(_, range)| range.end as i32));
                Ok(vec![("ids", column(|(id, _)| *id)), ("starts", starts), ("ends", ends)])
            }
            "token" => {
                let (bytes, attributes) = model.token(number(a, "token").unwrap_or(0))?;
                let text = String::from_utf8_lossy(&bytes).into_owned();
                Ok(vec![("text", text), ("attributes", attributes.to_string())])
            }
            "score" => {
                let tenths = |&value: &f32| (f64::from(value) * 10.0 + 0.5).floor() as i32;
                let scores: Vec<_> = model.score(&a["prompt"])?.iter().map(tenths).collect();
                Ok(vec![("scores", joined(&scores))])
            }
            _ => Ok(vec![("text", model.render_chat(&[Message { role: &a["role"], content: &a["content"] }])?)]),
        }
    }

    fn engine_command(&mut self, word: &str, a: &Fields) -> Reply {
        let engine = &self.engines[&a["engine"]];
        match word {
            "pause" => engine.pause()?,
            "resume" => engine.resume()?,
            "shutdown" => engine.shutdown(None)?,
            "budget" => engine.set_memory_budget(number(a, "bytes").unwrap_or(0))?,
            "step_target" => engine.set_step_target(Duration::from_micros(number(a, "us").unwrap_or(0)))?,
            "metrics" => {
                let metrics = engine.metrics()?;
                return Ok(vec![
                    ("step_target", metrics.step_target_us.to_string()),
                    ("submitted", metrics.submitted_requests.to_string()),
                ]);
            }
            "memory_event" => {
                let event = engine.next_memory_event(number(a, "timeout_us").map(Duration::from_micros))?;
                return Ok(vec![
                    ("pressure", event.pressure.to_string()),
                    ("used", event.used_bytes.to_string()),
                    ("budget", event.budget_bytes.to_string()),
                ]);
            }
            "trim" => engine.trim(number(a, "flags").unwrap_or(0))?,
            _ => {
                let stats = engine.memory_stats()?;
                return Ok(vec![
                    ("models", stats.model_count.to_string()),
                    ("used", stats.used_bytes.to_string()),
                    ("sessions", stats.session_count.to_string()),
                    ("weights", stats.weight_bytes.to_string()),
                ]);
            }
        }
        Ok(vec![])
    }

    fn run(&mut self, word: &str, a: &Fields) -> Reply {
        match word {
            "layout" => Ok(vec![("layout", sys::layout())]),
            "version" => {
                // SAFETY: takes nothing.
                let abi = unsafe { sys::fsv_abi_version() };
                Ok(vec![("version", fastserve::version().to_owned()), ("abi", abi.to_string())])
            }
            "open" => self.open(a),
            "load" => self.load(a),
            "generate" => finish(&mut self.begin(a)?, String::new(), Vec::new()),
            "start" => {
                let stream = self.begin(a)?;
                self.streams.insert(a["id"].clone(), (stream, String::new(), Vec::new()));
                Ok(vec![])
            }
            "next" => self.next(a),
            "finish" => self.rest(a),
            "cancel" => {
                self.streams[&a["stream"]].0.cancel();
                Ok(vec![])
            }
            "priority" => {
                let priority = number(a, "priority").unwrap_or(0);
                self.streams[&a["stream"]].0.set_priority(priority).map(|()| vec![])
            }
            "cancel_elsewhere" => self.cancel_elsewhere(a),
            "concurrent" => self.concurrent(a),
            "close" => self.close(&a["id"]),
            "cycle" => cycle(a),
            "reset" => {
                *self = Objects::default();
                Ok(vec![])
            }
            "request_info" => {
                let info = self.streams[&a["stream"]].0.info()?;
                let generated = info.generated_token_count.to_string();
                Ok(vec![("state", info.state.to_string()), ("generated", generated)])
            }
            "machine" => machine(),
            "inspect" => inspect(&a["path"]),
            "estimate" => estimate(a),
            "info" | "tokenize" | "detokenize" | "render" | "chat_ids" | "ranges" | "token" | "score" | "evict" | "model_memory" => self.text_command(word, a),
            "pause" | "resume" | "shutdown" | "budget" | "trim" | "stats" | "step_target" | "metrics" | "memory_event" => self.engine_command(word, a),
            _ => self.sessions_command(word, a),
        }
    }
}

fn text_of(array: &[std::ffi::c_char]) -> String {
    array.iter().take_while(|&&byte| byte != 0).map(|&byte| char::from(byte as u8)).collect()
}

fn machine() -> Reply {
    let found = fastserve::machine()?;
    let ceilings = fastserve::measure_machine(1, Duration::from_millis(50))?;
    Ok(vec![
        ("cpus", found.usable_cpu_count.to_string()),
        ("kernels", text_of(&found.kernels)),
        ("devices", fastserve::devices(sys::FSV_DEVICE_CPU)?.len().to_string()),
        ("measured", flag(ceilings.read_bytes_per_second > 0.0)),
    ])
}

fn inspect(path: &str) -> Reply {
    let found = fastserve::inspect(path)?;
    Ok(vec![
        ("architecture", text_of(&found.architecture)),
        ("name", text_of(&found.name)),
        ("vocabulary_size", found.vocabulary_size.to_string()),
        ("json", fastserve::inspect_json(path)?),
        ("plan", fastserve::plan_json(path)?),
    ])
}

fn estimate(a: &Fields) -> Reply {
    let mut config = EngineConfig::default();
    config.context_tokens = number(a, "context_tokens").unwrap_or(0);
    config.memory_budget_bytes = number(a, "memory_budget_bytes").unwrap_or(0);
    let found = fastserve::estimate(&a["path"], Default::default(), &config)?;
    let parts = found.weight_bytes + found.kv_bytes + found.activation_bytes + found.other_bytes;
    let is_complete = found.total_bytes == parts && parts <= found.peak_bytes;
    Ok(vec![("weights", found.weight_bytes.to_string()), ("complete", flag(is_complete))])
}

fn cycle(a: &Fields) -> Reply {
    let engine = Engine::new(EngineConfig { thread_count: 1, ..Default::default() })?;
    for _ in 0..number(a, "count").unwrap_or(0) {
        engine.load(&a["path"])?.generate("x", Options::default().max_tokens(1))?.text()?;
    }
    Ok(vec![])
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
            let digits = std::str::from_utf8(&digits).unwrap_or("0");
            bytes.push(u8::from_str_radix(digits, 16).unwrap_or(0));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn main() {
    let mut objects = Objects::default();
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line");
        let mut words = line.split(' ');
        let word = words.next().unwrap_or_default();
        let fields = words.filter_map(|pair| pair.split_once('=')).map(|(key, value)| (key.to_owned(), decoded(value)));
        let (kind, reply) = match objects.run(word, &fields.collect()) {
            Ok(reply) => ("ok", reply),
            Err(error) => {
                // SAFETY: any number has a static name.
                let name = unsafe { std::ffi::CStr::from_ptr(sys::fsv_status_name(error.status())) };
                let status = name.to_string_lossy().into_owned();
                ("error", vec![("status", status), ("message", error.message().to_owned())])
            }
        };
        let pairs = reply.iter().map(|(key, value)| format!(" {key}={}", encoded(value)));
        println!("{kind}{}", pairs.collect::<String>());
        std::io::stdout().flush().expect("stdout");
    }
}
