// Models, and what requests are made of. A part of Fastserve.cs, which ./dev generate puts together.
namespace Fastserve
{
    using System;
    using System.Collections;
    using System.Collections.Generic;
    using System.Runtime.InteropServices;
    using System.Text;
    using System.Threading;

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

        /// <summary>log p(token[i] | token[0..i-1]) of every token of a text, computed now; the first value is 0.</summary>
        public float[] Score(string prompt, CancellationToken cancel = default(CancellationToken))
        {
            using (var scratch = new Scratch())
            {
                ScoreConfig config = ScoreConfig.Default();
                config.Text = scratch.Bytes(prompt, out config.TextSize);
                return Score(config, cancel);
            }
        }

        /// <summary>The same of token ids.</summary>
        public float[] Score(int[] prompt, CancellationToken cancel = default(CancellationToken))
        {
            using (var scratch = new Scratch())
            {
                ScoreConfig config = ScoreConfig.Default();
                config.TokenIds = scratch.Ids(prompt);
                config.TokenCount = new UIntPtr((uint)prompt.Length);
                return Score(config, cancel);
            }
        }

        private float[] Score(ScoreConfig config, CancellationToken cancel)
        {
            var scores = new List<float>();
            foreach (Piece piece in Begin(cancel, (ulong key, out ulong request, ref RawError error) =>
            {
                config.UserData = key;
                return Native.fsv_submit_score(Engine.Value, Value, ref config, out request, ref error);
            })) scores.AddRange(piece.Logprobs);
            return scores.ToArray();
        }

        private Generation Begin(Options options, Submit submit)
        {
            options = options ?? new Options();
            using (var scratch = new Scratch())
            {
                GenerateConfig config = options.Config;
                Write(scratch, options, ref config);
                return Begin(options.Cancel, (ulong key, out ulong request, ref RawError error) =>
                {
                    config.UserData = key;
                    return submit(scratch, ref config, out request, ref error);
                });
            }
        }

        private delegate int Start(ulong key, out ulong request, ref RawError error);

        /// A request whose events are to bring its key back.
        private Generation Begin(CancellationToken cancel, Start start)
        {
            cancel.ThrowIfCancellationRequested();
            Sink sink = Engine.Pump.Open();
            ulong request = 0;
            try
            {
                Call.Check((ref RawError error) => start(sink.Key, out request, ref error));
            }
            catch
            {
                Engine.Pump.Forget(sink);
                throw;
            }
            return new Generation(Engine, sink, request, cancel);
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

        /// <summary>Gives its memory back now: the next request loads it again. Status.WrongState with live requests,
        /// Status.Unsupported where LoadFlags.Pinned keeps it.</summary>
        public void Evict()
        {
            Call.Check((ref RawError error) => Native.fsv_model_evict(Engine.Value, Value, ref error));
        }

        /// <summary>What it takes, and in State (of ModelState) whether it is there.</summary>
        public ModelMemory Memory()
        {
            ModelMemory memory = ModelMemory.Default();
            Call.Check((ref RawError error) => Native.fsv_memory_get_model(Engine.Value, Value, ref memory, ref error));
            return memory;
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

        /// <summary>Token ids of a text; ranges become the bytes of it (in UTF-8) that each one stands for.</summary>
        public int[] Tokenize(string text, out TextRange[] ranges)
        {
            using (var scratch = new Scratch())
            {
                UIntPtr size, count = UIntPtr.Zero;
                IntPtr bytes = scratch.Bytes(text, out size);
                uint flags = (uint)TokenizeFlags.AddBos;
                Call.Check((ref RawError error) => Native.fsv_tokenize_ranges(Value, bytes, size, flags, IntPtr.Zero,
                    IntPtr.Zero, UIntPtr.Zero, out count, ref error));
                var ids = new int[(int)count];
                ranges = new TextRange[ids.Length];
                IntPtr idBlock = scratch.Ids(ids), rangeBlock = scratch.Structs(ranges);
                UIntPtr capacity = count;
                Call.Check((ref RawError error) => Native.fsv_tokenize_ranges(Value, bytes, size, flags, idBlock,
                    rangeBlock, capacity, out count, ref error));
                Marshal.Copy(idBlock, ids, 0, ids.Length);
                for (int i = 0; i < ranges.Length; ++i)
                {
                    var address = new IntPtr(rangeBlock.ToInt64() + i * Marshal.SizeOf(typeof(TextRange)));
                    ranges[i] = (TextRange)Marshal.PtrToStructure(address, typeof(TextRange));
                }
                return ids;
            }
        }

        /// <summary>The bytes of one token, and what it is.</summary>
        public byte[] Token(int id, out TokenAttributes attributes)
        {
            uint found = 0;
            byte[] bytes = Call.Bytes((IntPtr buffer, UIntPtr capacity, out UIntPtr size, ref RawError error) =>
                Native.fsv_token_get(Value, id, buffer, capacity, out size, out found, ref error), 1);
            attributes = (TokenAttributes)found;
            return bytes;
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

        /// <summary>The same as token ids: control tokens are the template's own alone.</summary>
        public int[] TokenizeChat(IEnumerable<Message> messages)
        {
            using (var scratch = new Scratch())
            {
                List<ChatMessage> parts = Parts(scratch, messages);
                IntPtr block = scratch.Structs(parts);
                var messageCount = new UIntPtr((uint)parts.Count);
                return Call.Ids((IntPtr ids, UIntPtr capacity, out UIntPtr count, ref RawError error) =>
                    Native.fsv_chat_tokenize(Value, block, messageCount, (uint)ChatFlags.AddGenerationPrompt, ids, capacity,
                        out count, ref error));
            }
        }

        public Session NewSession()
        {
            IntPtr made = IntPtr.Zero;
            Call.Check((ref RawError error) => Native.fsv_session_create(Engine.Value, Value, out made, ref error));
            return new Session(made);
        }

        /// <summary>A session of the bytes that Session.Export gave.</summary>
        public Session ImportSession(byte[] data)
        {
            IntPtr made = IntPtr.Zero;
            using (var scratch = new Scratch())
            {
                IntPtr block = scratch.Allocate(data.Length);
                Marshal.Copy(data, 0, block, data.Length);
                Call.Check((ref RawError error) => Native.fsv_session_import(Engine.Value, Value, block,
                    new UIntPtr((uint)data.Length), out made, ref error));
            }
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
}
