// Engines. A part of Fastserve.cs, which ./dev generate puts together.
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
        private readonly LogReader reader;

        internal Pump Pump { get; private set; }

        internal IntPtr Value
        {
            get { return handle.Value; }
        }

        public Engine() : this(EngineConfig.Default())
        {
        }

        /// <summary>Begin with EngineConfig.Default(). The library may write into `writeFolder` alone. `log` receives its
        /// lines (LogLevel.Info unless the configuration says), on a thread of its own, and none after Dispose.</summary>
        public Engine(EngineConfig config, string writeFolder = null, Action<LogLevel, string> log = null)
        {
            IntPtr made = IntPtr.Zero;
            if (log != null && config.LogLevel == (int)LogLevel.Off) config.LogLevel = (int)LogLevel.Info;
            using (var scratch = new Scratch())
            {
                if (writeFolder != null) config.WriteFolder = scratch.Bytes(writeFolder, out config.WriteFolderSize);
                Call.Check((ref RawError error) => Native.fsv_engine_create(ref config, out made, ref error));
            }
            handle = new Handle(made, Native.fsv_engine_release);
            Pump = new Pump(made, config.Mode == (uint)Mode.Pumped);
            if (log != null) reader = new LogReader(made, log);
        }

        /// <summary>The version of the library in use.</summary>
        public static string LibraryVersion
        {
            get { return Marshal.PtrToStringAnsi(Native.fsv_version_string()); }
        }

        /// <summary>Ends all that runs and returns the memory.</summary>
        public void Dispose()
        {
            if (reader != null) reader.End();
            handle.Dispose();
            if (reader != null) reader.Join();
        }

        /// <summary>Loads a GGUF file or a Hugging Face folder and waits for it. Progress is told as bytes done and bytes in
        /// all; the token cancels the load. Settings begin with LoadConfig.Default(), which is what null means.</summary>
        public Model Load(string path, Action<ulong, ulong> onProgress = null,
            CancellationToken cancel = default(CancellationToken), LoadConfig? settings = null)
        {
            cancel.ThrowIfCancellationRequested();
            Sink sink = Pump.Open();
            ulong ticket = 0;
            try
            {
                using (var scratch = new Scratch())
                {
                    LoadConfig config = settings ?? LoadConfig.Default();
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

        /// <summary>The latency that 95 of 100 steps are to stay within, from the next step on; zero: none.</summary>
        public void SetStepTarget(TimeSpan target)
        {
            Call.Check((ref RawError error) => Native.fsv_engine_set_step_target(Value, (ulong)(target.Ticks / 10), ref error));
        }

        public Metrics Metrics()
        {
            var metrics = global::Fastserve.Metrics.Default();
            Call.Check((ref RawError error) => Native.fsv_metrics_snapshot(Value, ref metrics, ref error));
            return metrics;
        }

        /// <summary>Waits for the next MEMORY event of an engine with EngineConfig.MemoryEvents; Status.Timeout after `timeout`
        /// (null: however long). What came while nobody waited is one event.</summary>
        public MemoryEvent NextMemoryEvent(TimeSpan? timeout = null)
        {
            Item item = Pump.Next(Pump.Memory, timeout);
            return new MemoryEvent
            {
                Pressure = (PressureFlags)item.Pressure, UsedBytes = item.BytesDone, BudgetBytes = item.BytesTotal
            };
        }

        public MemoryStats MemoryStats()
        {
            var stats = global::Fastserve.MemoryStats.Default();
            Call.Check((ref RawError error) => Native.fsv_memory_get_stats(Value, ref stats, ref error));
            return stats;
        }
    }
}
