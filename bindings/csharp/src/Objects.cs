// Engines, models, sessions and generations. A part of Fastserve.cs, which ./dev generate puts together.
namespace Fastserve
{
    using System;
    using System.Collections;
    using System.Collections.Generic;
    using System.Runtime.InteropServices;
    using System.Text;
    using System.Threading;

    /// <summary>Runs requests of the models loaded in it, many at once.</summary>
    public sealed class Engine : IDisposable
    {
        private readonly Handle handle;

        internal Pump Pump { get; private set; }

        internal IntPtr Value
        {
            get { return handle.Value; }
        }

        public Engine() : this(EngineConfig.Default())
        {
        }

        /// <summary>Begin with EngineConfig.Default(). The library may write into `writeFolder` alone. `log` receives its
        /// lines (LogLevel.Info unless the configuration says) and must not call it. It is for pumped engines: the collectors
        /// of Mono and Unity stop threads by signals, for which they would wait in vain on threads of the library.</summary>
        public Engine(EngineConfig config, string writeFolder = null, Action<LogLevel, string> log = null)
        {
            if (log != null && config.Mode != (uint)Mode.Pumped)
            {
                throw new ArgumentException("only pumped engines call back on the host's own threads", "log");
            }
            IntPtr made = IntPtr.Zero;
            LogCallback receive = log == null ? null : Receiver(log);
            if (receive != null)
            {
                config.Log = Marshal.GetFunctionPointerForDelegate(receive);
                if (config.LogLevel == (int)LogLevel.Off) config.LogLevel = (int)LogLevel.Info;
            }
            using (var scratch = new Scratch())
            {
                if (writeFolder != null) config.WriteFolder = scratch.Bytes(writeFolder, out config.WriteFolderSize);
                Call.Check((ref RawError error) => Native.fsv_engine_create(ref config, out made, ref error));
            }
            // The delegate stays as long as the handle, which outlives the engine.
            handle = new Handle(made, (IntPtr value, ref RawError error) =>
            {
                int status = Native.fsv_engine_release(value, ref error);
                GC.KeepAlive(receive);
                return status;
            });
            Pump = new Pump(made, config.Mode == (uint)Mode.Pumped);
        }

        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        private delegate void LogCallback(IntPtr user, int level, IntPtr message, UIntPtr size);

        private static LogCallback Receiver(Action<LogLevel, string> log)
        {
            return (user, level, message, size) =>
            {
                try
                {
                    log((LogLevel)level, Call.Text(message, size));
                }
                catch (Exception)
                {
                    // nothing may be thrown at the library, and there is nobody to tell
                }
            };
        }

        /// <summary>The version of the library in use.</summary>
        public static string LibraryVersion
        {
            get { return Marshal.PtrToStringAnsi(Native.fsv_version_string()); }
        }

        /// <summary>Ends all that runs and returns the memory.</summary>
        public void Dispose()
        {
            handle.Dispose();
        }

        /// <summary>Loads a GGUF file or a Hugging Face folder and waits for it. Progress is told as bytes done and bytes in
        /// all; the token cancels the load.</summary>
        public Model Load(string path, Action<ulong, ulong> onProgress = null,
            CancellationToken cancel = default(CancellationToken))
        {
            cancel.ThrowIfCancellationRequested();
            Sink sink = Pump.Open();
            ulong ticket = 0;
            try
            {
                using (var scratch = new Scratch())
                {
                    LoadConfig config = LoadConfig.Default();
                    config.Path = scratch.Bytes(path, out config.PathSize);
                    config.UserData = sink.Key;
                    Call.Check((ref RawError error) => Native.fsv_model_load(Value, ref config, out ticket, ref error));
                }
                using (cancel.Register(() => CancelLoad(ticket)))
                {
                    Follow(sink, onProgress, cancel);
                }
                IntPtr model = IntPtr.Zero;
                ulong taken = ticket;
                ticket = 0; // taking the model ends it, whatever comes of that
                Call.Check((ref RawError error) => Native.fsv_ticket_take_model(Value, taken, out model, ref error));
                return new Model(this, model);
            }
            finally
            {
                Pump.Forget(sink);
                if (ticket != 0) CancelLoad(ticket);
            }
        }

        private void CancelLoad(ulong ticket)
        {
            var error = new RawError { Message = new byte[500] };
            Native.fsv_ticket_cancel(Value, ticket, ref error);
        }

        private void Follow(Sink sink, Action<ulong, ulong> onProgress, CancellationToken cancel)
        {
            for (bool hasEnded = false; !hasEnded;)
            {
                Item item;
                try
                {
                    item = Pump.Next(sink, TimeSpan.FromMilliseconds(100)); // a cancelled ticket has no last event
                }
                catch (FastserveException exception)
                {
                    if (exception.Status != Status.Timeout) throw;
                    cancel.ThrowIfCancellationRequested();
                    continue;
                }
                cancel.ThrowIfCancellationRequested();
                hasEnded = item.Kind == EventType.LoadFinished;
                if (onProgress != null && item.Failure == null) onProgress(item.BytesDone, item.BytesTotal);
            }
        }

        public void Pause()
        {
            Call.Check((ref RawError error) => Native.fsv_engine_pause(Value, ref error));
        }

        public void Resume()
        {
            Call.Check((ref RawError error) => Native.fsv_engine_resume(Value, ref error));
        }

        /// <summary>Pumped engines: works for about so many microseconds; whether work is left.</summary>
        public bool Step(ulong maxUs)
        {
            uint more = 0;
            Call.Check((ref RawError error) => Native.fsv_engine_step(Value, maxUs, out more, ref error));
            return more != 0;
        }

        /// <summary>Refuses new work and lets running requests finish within the time given (null: however long), then
        /// cancels them.</summary>
        public void Shutdown(TimeSpan? timeout = null)
        {
            ulong us = timeout == null ? ulong.MaxValue : (ulong)(timeout.Value.Ticks / 10);
            Call.Check((ref RawError error) => Native.fsv_engine_shutdown(Value, us, ref error));
        }

        /// <summary>Of a living engine; 0: none. What it takes away goes within milliseconds, and changes no text.</summary>
        public void SetMemoryBudget(ulong bytes)
        {
            Call.Check((ref RawError error) => Native.fsv_memory_set_budget(Value, bytes, ref error));
        }

        /// <summary>Gives memory that nobody holds back to the system, and what the flags name.</summary>
        public void Trim(TrimFlags flags = 0)
        {
            Call.Check((ref RawError error) => Native.fsv_memory_trim(Value, (uint)flags, ref error));
        }

        public MemoryStats MemoryStats()
        {
            var stats = global::Fastserve.MemoryStats.Default();
            Call.Check((ref RawError error) => Native.fsv_memory_get_stats(Value, ref stats, ref error));
            return stats;
        }
    }

    /// <summary>One message of a conversation.</summary>
    public struct Message
    {
        public string Role, Content;

        public Message(string role, string content)
        {
            Role = role;
            Content = content;
        }
    }

    /// <summary>Settings of a request; null leaves the defaults.</summary>
    public sealed class Options
    {
        /// <summary>MaxTokens and the like; prompt, stop rules and session are set from elsewhere.</summary>
        public GenerateConfig Config = GenerateConfig.Default();
        /// <summary>Null: as the model's makers want it, which is what Model.DefaultSampling() gives to change.</summary>
        public Sampling? Sampling;
        public string[] Stop = new string[0];
        public int[] StopTokenIds = new int[0];
        public Session Session;
        public CancellationToken Cancel;
    }

    /// <summary>A model in its engine. After its end no new request can name it; running ones finish.</summary>
    public sealed class Model : IDisposable
    {
        private readonly Handle handle;

        internal Model(Engine engine, IntPtr value)
        {
            Engine = engine;
            handle = new Handle(value, Native.fsv_model_release);
        }

        public Engine Engine { get; private set; }

        internal IntPtr Value
        {
            get { return handle.Value; }
        }

        public void Dispose()
        {
            handle.Dispose();
        }

        private delegate int Submit(Scratch scratch, ref GenerateConfig config, out ulong request, ref RawError error);

        /// <summary>Begins an answer to a text, and returns at once.</summary>
        public Generation Generate(string prompt, Options options = null)
        {
            return Begin(options, (Scratch scratch, ref GenerateConfig config, out ulong request, ref RawError error) =>
            {
                config.Text = scratch.Bytes(prompt, out config.TextSize);
                return Native.fsv_submit_generate(Engine.Value, Value, ref config, out request, ref error);
            });
        }

        /// <summary>Begins an answer to token ids.</summary>
        public Generation Generate(int[] prompt, Options options = null)
        {
            return Begin(options, (Scratch scratch, ref GenerateConfig config, out ulong request, ref RawError error) =>
            {
                config.TokenIds = scratch.Ids(prompt);
                config.TokenCount = new UIntPtr((uint)prompt.Length);
                return Native.fsv_submit_generate(Engine.Value, Value, ref config, out request, ref error);
            });
        }

        /// <summary>Begins an answer to a conversation.</summary>
        public Generation Chat(IEnumerable<Message> messages, Options options = null)
        {
            return Begin(options, (Scratch scratch, ref GenerateConfig config, out ulong request, ref RawError error) =>
            {
                var chat = global::Fastserve.Chat.Default();
                List<ChatMessage> parts = Parts(scratch, messages);
                chat.Messages = scratch.Structs(parts);
                chat.MessageCount = new UIntPtr((uint)parts.Count);
                return Native.fsv_submit_chat(Engine.Value, Value, ref chat, ref config, out request, ref error);
            });
        }

        private Generation Begin(Options options, Submit submit)
        {
            options = options ?? new Options();
            options.Cancel.ThrowIfCancellationRequested();
            Sink sink = Engine.Pump.Open();
            ulong request = 0;
            try
            {
                using (var scratch = new Scratch())
                {
                    GenerateConfig config = options.Config;
                    Write(scratch, options, ref config);
                    config.UserData = sink.Key;
                    Call.Check((ref RawError error) => submit(scratch, ref config, out request, ref error));
                }
            }
            catch
            {
                Engine.Pump.Forget(sink);
                throw;
            }
            return new Generation(Engine, sink, request, options.Cancel);
        }

        private static void Write(Scratch scratch, Options options, ref GenerateConfig config)
        {
            if (options.Sampling != null) config.Sampling = scratch.Structs(new[] { options.Sampling.Value });
            var stops = new List<Utf8>();
            foreach (string stop in options.Stop)
            {
                var text = new Utf8();
                text.Data = scratch.Bytes(stop, out text.Size);
                stops.Add(text);
            }
            config.StopStrings = scratch.Structs(stops);
            config.StopStringCount = new UIntPtr((uint)stops.Count);
            config.StopTokenIds = scratch.Ids(options.StopTokenIds);
            config.StopTokenCount = new UIntPtr((uint)options.StopTokenIds.Length);
            if (options.Session != null) config.Session = options.Session.Value;
        }

        private static List<ChatMessage> Parts(Scratch scratch, IEnumerable<Message> messages)
        {
            var parts = new List<ChatMessage>();
            foreach (Message message in messages)
            {
                var part = new ChatMessage();
                part.Role = scratch.Bytes(message.Role, out part.RoleSize);
                part.Content = scratch.Bytes(message.Content, out part.ContentSize);
                parts.Add(part);
            }
            return parts;
        }

        /// <summary>How the model's makers want it sampled: change it, and pass it in Options.</summary>
        public Sampling DefaultSampling()
        {
            Sampling sampling = Sampling.Default();
            Call.Check((ref RawError error) => Native.fsv_model_default_sampling(Value, ref sampling, ref error));
            return sampling;
        }

        public ModelInfo Info()
        {
            ModelInfo info = ModelInfo.Default();
            Call.Check((ref RawError error) => Native.fsv_model_get_info(Value, ref info, ref error));
            return info;
        }

        public string Name
        {
            get { return Call.Text(Info().Name); }
        }

        public string Architecture
        {
            get { return Call.Text(Info().Architecture); }
        }

        public int[] Tokenize(string text)
        {
            using (var scratch = new Scratch())
            {
                UIntPtr size;
                IntPtr bytes = scratch.Bytes(text, out size);
                return Call.Ids((IntPtr ids, UIntPtr capacity, out UIntPtr count, ref RawError error) => Native.fsv_tokenize(
                    Value, bytes, size, (uint)TokenizeFlags.AddBos, ids, capacity, out count, ref error));
            }
        }

        /// <summary>The text of ids, without control tokens.</summary>
        public string Detokenize(int[] ids)
        {
            using (var scratch = new Scratch())
            {
                IntPtr block = scratch.Ids(ids);
                var count = new UIntPtr((uint)ids.Length);
                return Encoding.UTF8.GetString(Call.Bytes((IntPtr buffer, UIntPtr capacity, out UIntPtr size,
                    ref RawError error) => Native.fsv_detokenize(Value, block, count, (uint)DetokenizeFlags.SkipSpecial, buffer,
                    capacity, out size, ref error), 1));
            }
        }

        /// <summary>The conversation as the model's template writes it.</summary>
        public string RenderChat(IEnumerable<Message> messages)
        {
            using (var scratch = new Scratch())
            {
                List<ChatMessage> parts = Parts(scratch, messages);
                IntPtr block = scratch.Structs(parts);
                var count = new UIntPtr((uint)parts.Count);
                return Encoding.UTF8.GetString(Call.Bytes((IntPtr buffer, UIntPtr capacity, out UIntPtr size,
                    ref RawError error) => Native.fsv_chat_render(Value, block, count, (uint)ChatFlags.AddGenerationPrompt,
                    buffer, capacity, out size, ref error), 1));
            }
        }

        public Session NewSession()
        {
            IntPtr made = IntPtr.Zero;
            Call.Check((ref RawError error) => Native.fsv_session_create(Engine.Value, Value, out made, ref error));
            return new Session(made);
        }

        /// <summary>A session of a file that Session.Save wrote.</summary>
        public Session LoadSession(string path)
        {
            IntPtr made = IntPtr.Zero;
            using (var scratch = new Scratch())
            {
                UIntPtr size;
                IntPtr bytes = scratch.Bytes(path, out size);
                Call.Check((ref RawError error) => Native.fsv_session_load(Engine.Value, Value, bytes, size, out made,
                    ref error));
            }
            return new Session(made);
        }
    }

    /// <summary>A text kept between requests, which name it in Options.Session.</summary>
    public sealed class Session : IDisposable
    {
        private readonly Handle handle;

        internal Session(IntPtr value)
        {
            handle = new Handle(value, Native.fsv_session_release);
        }

        internal IntPtr Value
        {
            get { return handle.Value; }
        }

        public void Dispose()
        {
            handle.Dispose();
        }

        /// <summary>A session of the first tokens (null: all); what is computed of them is shared.</summary>
        public Session Fork(int? tokenCount = null)
        {
            IntPtr made = IntPtr.Zero;
            UIntPtr count = tokenCount == null ? Call.Unlimited : new UIntPtr((uint)tokenCount.Value);
            Call.Check((ref RawError error) => Native.fsv_session_fork(Value, count, out made, ref error));
            return new Session(made);
        }

        public void Truncate(int tokenCount)
        {
            Call.Check((ref RawError error) => Native.fsv_session_truncate(Value, new UIntPtr((uint)tokenCount), ref error));
        }

        /// <summary>Takes the last turn back.</summary>
        public void Undo()
        {
            Call.Check((ref RawError error) => Native.fsv_session_undo(Value, ref error));
        }

        /// <summary>Writes the file `name` of the engine's write folder. Blocks.</summary>
        public void Save(string name)
        {
            using (var scratch = new Scratch())
            {
                UIntPtr size;
                IntPtr bytes = scratch.Bytes(name, out size);
                Call.Check((ref RawError error) => Native.fsv_session_save(Value, bytes, size, 0, ref error));
            }
        }

        public SessionInfo Info()
        {
            SessionInfo info = SessionInfo.Default();
            Call.Check((ref RawError error) => Native.fsv_session_get_info(Value, ref info, ref error));
            return info;
        }
    }

    /// <summary>A running request: enumerate it once for its pieces. Dispose cancels what still runs, as does leaving a
    /// foreach.</summary>
    public sealed class Generation : IEnumerable<Piece>, IDisposable
    {
        private readonly Engine engine;
        private readonly Sink sink;
        private readonly ulong request;
        private readonly CancellationToken cancel;
        private readonly CancellationTokenRegistration registration;
        private volatile bool isOver;

        internal Generation(Engine engine, Sink sink, ulong request, CancellationToken cancel)
        {
            this.engine = engine;
            this.sink = sink;
            this.request = request;
            this.cancel = cancel;
            registration = cancel.Register(Cancel);
        }

        ~Generation()
        {
            if (!isOver) Cancel();
        }

        /// <summary>How it ended; null before.</summary>
        public End End { get; private set; }

        /// <summary>The next piece, waiting no longer than told (Status.Timeout then, and one may go on); null at the end.
        /// </summary>
        public Piece Next(TimeSpan? timeout = null)
        {
            while (!isOver)
            {
                Item item = engine.Pump.Next(sink, timeout);
                if (item.Piece != null) return item.Piece;
                if (item.Kind != EventType.Finished) continue;
                isOver = true;
                registration.Dispose();
                End = item.End;
                if (item.Failure != null) throw item.Failure;
                if (End.Reason == FinishReason.Cancelled) cancel.ThrowIfCancellationRequested();
            }
            return null;
        }

        public IEnumerator<Piece> GetEnumerator()
        {
            try
            {
                for (Piece piece = Next(); piece != null; piece = Next()) yield return piece;
            }
            finally
            {
                Dispose();
            }
        }

        IEnumerator IEnumerable.GetEnumerator()
        {
            return GetEnumerator();
        }

        /// <summary>Waits for the end: the text that is left, of the first choice.</summary>
        public string Text()
        {
            var all = new StringBuilder();
            foreach (Piece piece in this)
            {
                if (piece.Choice == 0) all.Append(piece.Text);
            }
            return all.ToString();
        }

        /// <summary>Asks the request to end, from any thread; the enumeration goes on to its end.</summary>
        public void Cancel()
        {
            var error = new RawError { Message = new byte[500] };
            Native.fsv_request_cancel(engine.Value, request, ref error);
        }

        /// <summary>Of a live request, from the next step on.</summary>
        public void SetPriority(int priority)
        {
            Call.Check((ref RawError error) => Native.fsv_request_set_priority(engine.Value, request, priority, ref error));
        }

        /// <summary>Cancels, and forgets the rest.</summary>
        public void Dispose()
        {
            if (isOver) return;
            isOver = true;
            registration.Dispose();
            Cancel();
            engine.Pump.Forget(sink);
        }
    }
}
