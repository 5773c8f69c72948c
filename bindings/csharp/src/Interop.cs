// Failures, native memory and handles. A part of Fastserve.cs, which ./dev generate puts together.
namespace Fastserve
{
    using System;
    using System.Collections.Generic;
    using System.Runtime.InteropServices;
    using System.Text;
    using System.Threading;

    /// <summary>A call that the library refused, or an answer that failed: of which kind, and what and where.</summary>
    public sealed class FastserveException : Exception
    {
        public Status Status { get; private set; }

        public FastserveException(Status status, string message) : base(message)
        {
            Status = status;
        }
    }

    internal static class Call
    {
        internal static readonly UIntPtr Unlimited = new UIntPtr(UIntPtr.Size == 8 ? ulong.MaxValue : uint.MaxValue);

        internal delegate int Function(ref RawError error);

        internal static void Check(Function function)
        {
            var error = new RawError { Message = new byte[500] };
            int status = function(ref error);
            if (status != 0) throw Failure(status, error);
        }

        internal static FastserveException Failure(int status, RawError error)
        {
            return new FastserveException((Status)status, Encoding.UTF8.GetString(error.Message, 0, (int)error.MessageSize));
        }

        internal static string Text(IntPtr bytes, UIntPtr size)
        {
            if (bytes == IntPtr.Zero || size == UIntPtr.Zero) return "";
            var copy = new byte[(int)size];
            Marshal.Copy(bytes, copy, 0, copy.Length);
            return Encoding.UTF8.GetString(copy);
        }

        internal static string Text(byte[] terminated)
        {
            int size = Array.IndexOf(terminated, (byte)0);
            return Encoding.UTF8.GetString(terminated, 0, size < 0 ? terminated.Length : size);
        }

        internal delegate int Fill(IntPtr array, UIntPtr capacity, out UIntPtr count, ref RawError error);

        /// Takes an array of items from a function of (array, capacity, count); asks for its size first.
        internal static byte[] Bytes(Fill function, int itemSize)
        {
            UIntPtr count = UIntPtr.Zero;
            Check((ref RawError error) => function(IntPtr.Zero, UIntPtr.Zero, out count, ref error));
            using (var scratch = new Scratch())
            {
                IntPtr block = scratch.Allocate((int)count * itemSize);
                UIntPtr capacity = count;
                Check((ref RawError error) => function(block, capacity, out count, ref error));
                var copy = new byte[(int)count * itemSize];
                Marshal.Copy(block, copy, 0, copy.Length);
                return copy;
            }
        }

        internal static int[] Ids(Fill function)
        {
            byte[] bytes = Bytes(function, 4);
            var ids = new int[bytes.Length / 4];
            Buffer.BlockCopy(bytes, 0, ids, 0, bytes.Length);
            return ids;
        }
    }

    /// <summary>Native memory for the time of one call.</summary>
    internal sealed class Scratch : IDisposable
    {
        private readonly List<IntPtr> blocks = new List<IntPtr>();

        internal IntPtr Allocate(int size)
        {
            IntPtr block = Marshal.AllocHGlobal(Math.Max(size, 1));
            blocks.Add(block);
            return block;
        }

        internal IntPtr Bytes(string text, out UIntPtr size)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(text);
            IntPtr block = Allocate(bytes.Length);
            Marshal.Copy(bytes, 0, block, bytes.Length);
            size = new UIntPtr((uint)bytes.Length);
            return block;
        }

        internal IntPtr Ids(int[] ids)
        {
            IntPtr block = Allocate(ids.Length * 4);
            Marshal.Copy(ids, 0, block, ids.Length);
            return block;
        }

        internal IntPtr Structs<T>(IList<T> values)
        {
            int size = Marshal.SizeOf(typeof(T));
            IntPtr block = Allocate(size * values.Count);
            for (int i = 0; i < values.Count; ++i)
            {
                Marshal.StructureToPtr((object)values[i], new IntPtr(block.ToInt64() + i * size), false);
            }
            return block;
        }

        public void Dispose()
        {
            foreach (IntPtr block in blocks) Marshal.FreeHGlobal(block);
            blocks.Clear();
        }
    }

    /// <summary>A reference-counted handle of the library, released once: by Dispose or by the finaliser.</summary>
    internal sealed class Handle : SafeHandle
    {
        internal delegate int Release(IntPtr handle, ref RawError error);

        private readonly Release release;

        internal Handle(IntPtr value, Release release) : base(IntPtr.Zero, true)
        {
            this.release = release;
            Value = value;
            SetHandle(value);
        }

        /// After the end a number that the library knows to be stale.
        internal IntPtr Value { get; private set; }

        public override bool IsInvalid
        {
            get { return handle == IntPtr.Zero; }
        }

        protected override bool ReleaseHandle()
        {
            var error = new RawError { Message = new byte[500] };
            return release(handle, ref error) == 0;
        }
    }
}
