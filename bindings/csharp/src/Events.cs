// Events, and who gets them. A part of Fastserve.cs, which ./dev generate puts together.
namespace Fastserve
{
    using System;
    using System.Collections.Generic;
    using System.Runtime.InteropServices;
    using System.Text;
    using System.Threading;

    /// <summary>New tokens, and the text that they complete.</summary>
    public sealed class Piece
    {
        public string Text { get; internal set; }
        public int[] TokenIds { get; internal set; }
        /// <summary>One for each token, if asked for; else empty.</summary>
        public float[] Logprobs { get; internal set; }
        /// <summary>For each token those that were most likely in its place, as many as GenerateConfig.LogprobCount asked for,
        /// the most likely first; else empty.</summary>
        public TokenLogprob[][] TopLogprobs { get; internal set; }
        public int Choice { get; internal set; }
    }

    /// <summary>What went or came back for want of memory.</summary>
    public sealed class MemoryEvent
    {
        /// <summary>Combined.</summary>
        public PressureFlags Pressure { get; internal set; }
        public ulong UsedBytes { get; internal set; }
        /// <summary>0: none.</summary>
        public ulong BudgetBytes { get; internal set; }
    }

    /// <summary>How a request ended.</summary>
    public sealed class End
    {
        public FinishReason Reason { get; internal set; }
        public int PromptTokens { get; internal set; }
        public int GeneratedTokens { get; internal set; }
        /// <summary>Of the prompt, that came with the session's keys and values.</summary>
        public int CachedTokens { get; internal set; }
    }

    /// <summary>A copy of an event; the event itself is gone with the next poll.</summary>
    internal sealed class Item
    {
        internal EventType Kind;
        internal Piece Piece;
        internal End End;
        internal FastserveException Failure;
        internal ulong BytesDone, BytesTotal;
        internal uint Pressure;

        internal Item(RawEvent source)
        {
            Kind = (EventType)source.Type;
            BytesDone = source.BytesDone;
            BytesTotal = source.BytesTotal;
            Pressure = source.Pressure;
            if (source.Status != 0)
            {
                Failure = new FastserveException((Status)source.Status, Call.Text(source.Message, source.MessageSize));
            }
            if (Kind == EventType.Tokens || Kind == EventType.Score) Piece = PieceOf(source);
            if (Kind == EventType.Finished) End = EndOf(source);
        }

        private static Piece PieceOf(RawEvent source)
        {
            int count = (int)source.TokenCount;
            var ids = new int[count];
            var logprobs = new float[source.Logprobs == IntPtr.Zero ? 0 : count];
            if (count > 0) Marshal.Copy(source.TokenIds, ids, 0, count);
            if (logprobs.Length > 0) Marshal.Copy(source.Logprobs, logprobs, 0, count);
            return new Piece
            {
                Text = Call.Text(source.Text, source.TextSize), TokenIds = ids, Logprobs = logprobs,
                TopLogprobs = AlternativesOf(source, count), Choice = (int)source.Choice
            };
        }

        private static TokenLogprob[][] AlternativesOf(RawEvent source, int count)
        {
            int width = (int)source.TopLogprobCount;
            var rows = new TokenLogprob[width == 0 ? 0 : count][];
            int size = Marshal.SizeOf(typeof(TokenLogprob));
            for (int i = 0; i < rows.Length; ++i)
            {
                rows[i] = new TokenLogprob[width];
                for (int j = 0; j < width; ++j)
                {
                    var address = new IntPtr(source.TopLogprobs.ToInt64() + (i * width + j) * size);
                    rows[i][j] = (TokenLogprob)Marshal.PtrToStructure(address, typeof(TokenLogprob));
                }
            }
            return rows;
        }

        private static End EndOf(RawEvent source)
        {
            return new End
            {
                Reason = (FinishReason)source.FinishReason, PromptTokens = (int)source.PromptTokenCount,
                GeneratedTokens = (int)source.GeneratedTokenCount, CachedTokens = (int)source.CachedTokenCount
            };
        }
    }

    /// <summary>What one request or load has yet to say. Events name it by its key, which comes back as user_data.</summary>
    internal sealed class Sink
    {
        internal ulong Key;
        internal readonly Queue<Item> Items = new Queue<Item>();
    }

    /// <summary>Hands an engine's events to those who wait for them, without a thread of its own: of all threads that wait,
    /// one polls for everyone.</summary>
    internal sealed class Pump
    {
        private const int Batch = 64;
        private readonly IntPtr engine;
        private readonly bool isPumped;
        private readonly object mutex = new object(); // guards what follows
        private readonly Dictionary<ulong, Sink> sinks = new Dictionary<ulong, Sink>();
        private ulong lastKey;
        private bool hasLeader;
        internal readonly Sink Memory = new Sink(); // of MEMORY events, which bring no key back

        internal Pump(IntPtr engine, bool isPumped)
        {
            this.engine = engine;
            this.isPumped = isPumped;
            sinks[Memory.Key] = Memory;
        }

        internal Sink Open()
        {
            lock (mutex)
            {
                var sink = new Sink { Key = ++lastKey };
                sinks[sink.Key] = sink;
                return sink;
            }
        }

        internal void Forget(Sink sink)
        {
            lock (mutex) sinks.Remove(sink.Key);
        }

        /// The next item of the sink; Status.Timeout where `timeout` (null: none) is over.
        internal Item Next(Sink sink, TimeSpan? timeout)
        {
            var clock = System.Diagnostics.Stopwatch.StartNew();
            for (bool mayWait = true;;)
            {
                lock (mutex)
                {
                    if (sink.Items.Count > 0) return sink.Items.Dequeue();
                    if (!mayWait) throw new FastserveException(Status.Timeout, "no event within the time given");
                    if (hasLeader)
                    {
                        if (timeout == null) Monitor.Wait(mutex);
                        else Monitor.Wait(mutex, Left(timeout.Value, clock));
                        mayWait = timeout == null || clock.Elapsed < timeout.Value;
                        continue;
                    }
                    hasLeader = true;
                }
                try
                {
                    Lead(timeout == null ? ulong.MaxValue : (ulong)(Left(timeout.Value, clock).Ticks / 10));
                }
                finally
                {
                    lock (mutex)
                    {
                        hasLeader = false;
                        Monitor.PulseAll(mutex);
                    }
                }
                mayWait = timeout == null || clock.Elapsed < timeout.Value;
            }
        }

        private static TimeSpan Left(TimeSpan timeout, System.Diagnostics.Stopwatch clock)
        {
            TimeSpan left = timeout - clock.Elapsed;
            return left < TimeSpan.Zero ? TimeSpan.Zero : left;
        }

        /// Waits for events and hands them out; one thread at a time.
        private void Lead(ulong timeoutUs)
        {
            if (isPumped)
            {
                uint more;
                Call.Check((ref RawError error) => Native.fsv_engine_step(engine, 0, out more, ref error));
            }
            else
            {
                var failure = new RawError { Message = new byte[500] };
                int status = Native.fsv_wait(engine, timeoutUs, ref failure);
                if (status == (int)Status.Timeout) return;
                if (status != 0) throw Call.Failure(status, failure);
            }
            using (var scratch = new Scratch())
            {
                int size = Marshal.SizeOf(typeof(RawEvent));
                IntPtr events = scratch.Allocate(size * Batch);
                UIntPtr count = UIntPtr.Zero;
                Call.Check((ref RawError error) => Native.fsv_poll(engine, events, new UIntPtr((uint)size),
                    new UIntPtr(Batch), out count, ref error));
                lock (mutex)
                {
                    for (int i = 0; i < (int)count; ++i)
                    {
                        var address = new IntPtr(events.ToInt64() + i * size);
                        Deliver((RawEvent)Marshal.PtrToStructure(address, typeof(RawEvent)));
                    }
                }
            }
        }

        private void Deliver(RawEvent source)
        {
            Sink sink;
            if (!sinks.TryGetValue(source.UserData, out sink)) return; // of a request that was closed before its end
            var item = new Item(source);
            if (sink == Memory && sink.Items.Count > 0) // one at most, however long nobody asks
            {
                item.Pressure |= sink.Items.Dequeue().Pressure;
            }
            sink.Items.Enqueue(item);
            if (item.Kind == EventType.Finished || item.Kind == EventType.LoadFinished) sinks.Remove(source.UserData);
        }
    }

    /// <summary>Pulls an engine's log on a thread of its own. Threads of the library never call into C#: the collectors of
    /// Mono and Unity stop threads by signals, for which they would wait in vain on threads of the library.</summary>
    internal sealed class LogReader
    {
        private const int LineBytesMax = 500;
        private readonly IntPtr engine;
        private readonly Action<LogLevel, string> log;
        private readonly Thread thread;

        internal LogReader(IntPtr engine, Action<LogLevel, string> log)
        {
            this.engine = engine;
            this.log = log;
            thread = new Thread(Run) { IsBackground = true, Name = "fastserve log" };
            thread.Start();
        }

        /// Until the engine has ended. It looks up now and then: Mono ends a process only when threads come back to C#.
        private void Run()
        {
            const ulong PatienceUs = 100000;
            Status status;
            do status = Read(PatienceUs); while (status == Status.Ok || status == Status.Timeout);
        }

        /// Ends the engine's work and reports what it has said.
        internal void End()
        {
            var failure = new RawError { Message = new byte[500] };
            Native.fsv_engine_shutdown(engine, 0, ref failure);
            while (Read(0) == Status.Ok) { }
        }

        internal void Join()
        {
            if (Thread.CurrentThread != thread) thread.Join();
        }

        private Status Read(ulong timeoutUs)
        {
            var failure = new RawError { Message = new byte[500] };
            using (var scratch = new Scratch())
            {
                IntPtr level = scratch.Allocate(4), line = scratch.Allocate(LineBytesMax);
                UIntPtr size;
                int status = Native.fsv_engine_read_log(engine, timeoutUs, level, line, new UIntPtr(LineBytesMax), out size,
                    ref failure);
                if (status != 0) return (Status)status;
                try
                {
                    log((LogLevel)Marshal.ReadInt32(level), Call.Text(line, size));
                }
                catch (Exception)
                {
                    // there is nobody to tell
                }
                return Status.Ok;
            }
        }
    }
}
