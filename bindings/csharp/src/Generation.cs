// Running requests. A part of Fastserve.cs, which ./dev generate puts together.
namespace Fastserve
{
    using System;
    using System.Collections;
    using System.Collections.Generic;
    using System.Runtime.InteropServices;
    using System.Text;
    using System.Threading;

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

        /// <summary>How far it is; Status.Stale some time after its end.</summary>
        public RequestInfo Info()
        {
            RequestInfo info = RequestInfo.Default();
            Call.Check((ref RawError error) => Native.fsv_request_get_info(engine.Value, request, ref info, ref error));
            return info;
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
