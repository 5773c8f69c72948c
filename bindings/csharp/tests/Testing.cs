// What the tests need of the internals: compiled together with Fastserve.cs.
using System.Runtime.InteropServices;

namespace Fastserve
{
    internal static class Testing
    {
        internal static string Layout()
        {
            return Native.Layout();
        }

        internal static uint AbiVersion()
        {
            return Native.fsv_abi_version();
        }

        internal static string StatusName(Status status)
        {
            return Marshal.PtrToStringAnsi(Native.fsv_status_name((int)status));
        }
    }
}
