// Sessions. A part of Fastserve.cs, which ./dev generate puts together.
namespace Fastserve
{
    using System;
    using System.Collections;
    using System.Collections.Generic;
    using System.Runtime.InteropServices;
    using System.Text;
    using System.Threading;

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

        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        private delegate int Write(IntPtr context, IntPtr data, UIntPtr size, ulong total);

        /// <summary>The same as bytes, for Model.ImportSession. Blocks.</summary>
        public byte[] Export()
        {
            byte[] bytes = null;
            int at = 0;
            Write write = (context, data, size, total) =>
            {
                try
                {
                    bytes = bytes ?? new byte[total];
                    Marshal.Copy(data, bytes, at, (int)size);
                    at += (int)size;
                    return 0;
                }
                catch (Exception)
                {
                    return (int)Status.OutOfMemory; // nothing may be thrown at the library
                }
            };
            IntPtr pointer = Marshal.GetFunctionPointerForDelegate(write);
            Call.Check((ref RawError error) => Native.fsv_session_export(Value, 0, pointer, IntPtr.Zero, ref error));
            GC.KeepAlive(write);
            return bytes;
        }

        public int[] TokenIds()
        {
            return Call.Ids((IntPtr ids, UIntPtr capacity, out UIntPtr count, ref RawError error) =>
                Native.fsv_session_get_tokens(Value, ids, capacity, out count, ref error));
        }

        public SessionInfo Info()
        {
            SessionInfo info = SessionInfo.Default();
            Call.Check((ref RawError error) => Native.fsv_session_get_info(Value, ref info, ref error));
            return info;
        }
    }
}
