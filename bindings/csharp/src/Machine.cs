// What can be asked without an engine. A part of Fastserve.cs, which ./dev generate puts together.
namespace Fastserve
{
    using System;
    using System.Runtime.InteropServices;
    using System.Text;

    /// <summary>Devices, the machine, what a model's file holds and what it would take.</summary>
    public static class Machine
    {
        /// <summary>Devices of a kind on this machine; asking for CUDA's loads its driver, where there is one.</summary>
        public static DeviceInfo[] Devices(DeviceKind kind = DeviceKind.Cpu)
        {
            uint count = 0;
            Call.Check((ref RawError error) => Native.fsv_device_count((uint)kind, out count, ref error));
            var devices = new DeviceInfo[count];
            for (uint i = 0; i < count; ++i)
            {
                DeviceInfo info = DeviceInfo.Default();
                Call.Check((ref RawError error) => Native.fsv_device_get_info((uint)kind, i, ref info, ref error));
                devices[i] = info;
            }
            return devices;
        }

        /// <summary>What the library found out about this machine; measures nothing.</summary>
        public static MachineInfo Info()
        {
            MachineInfo info = MachineInfo.Default();
            Call.Check((ref RawError error) => Native.fsv_machine_probe(ref info, ref error));
            return info;
        }

        /// <summary>Ceilings of this machine, measured for the time given on so many threads (0: as many as an engine has).
        /// </summary>
        public static MachineCeilings Measure(TimeSpan duration, int threadCount = 0)
        {
            using (var scratch = new Scratch())
            {
                IntPtr block = scratch.Structs(new[] { MachineCeilings.Default() });
                Call.Check((ref RawError error) => Native.fsv_machine_measure((uint)threadCount,
                    (uint)duration.TotalMilliseconds, block, ref error));
                return (MachineCeilings)Marshal.PtrToStructure(block, typeof(MachineCeilings));
            }
        }

        /// <summary>Reads a file's header and says what it holds.</summary>
        public static ModelInfo Inspect(string path)
        {
            using (var scratch = new Scratch())
            {
                UIntPtr size;
                IntPtr bytes = scratch.Bytes(path, out size);
                ModelInfo info = ModelInfo.Default();
                Call.Check((ref RawError error) => Native.fsv_model_inspect(bytes, size, ref info, ref error));
                return info;
            }
        }

        /// <summary>All metadata and tensors of a file, as one JSON object.</summary>
        public static string InspectJson(string path)
        {
            return JsonOf(path, Native.fsv_model_inspect_json);
        }

        /// <summary>Which kernels of this processor serve which tensors of a file, as one JSON object.</summary>
        public static string PlanJson(string path)
        {
            return JsonOf(path, Native.fsv_model_plan_json);
        }

        private delegate int Json(IntPtr path, UIntPtr pathSize, IntPtr buffer, UIntPtr capacity, out UIntPtr size,
            ref RawError error);

        private static string JsonOf(string path, Json function)
        {
            using (var scratch = new Scratch())
            {
                UIntPtr pathSize;
                IntPtr bytes = scratch.Bytes(path, out pathSize);
                return Encoding.UTF8.GetString(Call.Bytes((IntPtr buffer, UIntPtr capacity, out UIntPtr size,
                    ref RawError error) => function(bytes, pathSize, buffer, capacity, out size, ref error), 1));
            }
        }

        /// <summary>What the model would take in an engine of this configuration (null: the defaults), loaded with these
        /// settings (null: the defaults).</summary>
        public static MemoryEstimate Estimate(string path, EngineConfig? engine = null, LoadConfig? load = null)
        {
            EngineConfig engineConfig = engine ?? EngineConfig.Default();
            LoadConfig loadConfig = load ?? LoadConfig.Default();
            MemoryEstimate estimate = MemoryEstimate.Default();
            using (var scratch = new Scratch())
            {
                loadConfig.Path = scratch.Bytes(path, out loadConfig.PathSize);
                Call.Check((ref RawError error) => Native.fsv_model_estimate(ref loadConfig, ref engineConfig, ref estimate,
                    ref error));
            }
            return estimate;
        }
    }
}
