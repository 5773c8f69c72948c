// The C# runner of bindings/conformance: one command a line in, one reply a line out.
using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Text;
using System.Threading;
using Fastserve;

internal sealed class Running
{
    internal Generation Generation;
    internal string Text = "";
    internal readonly List<int> Ids = new List<int>();

    internal void Add(Piece piece)
    {
        Text += piece.Text;
        Ids.AddRange(piece.TokenIds);
    }
}

internal static class ConformanceRunner
{
    private static readonly Dictionary<string, IDisposable> objects = new Dictionary<string, IDisposable>();
    private static readonly Dictionary<string, Running> streams = new Dictionary<string, Running>();

    private static T Get<T>(Dictionary<string, string> a, string key) where T : class
    {
        return objects[a[key]] as T;
    }

    private static ulong Number(Dictionary<string, string> a, string key, ulong otherwise)
    {
        return a.ContainsKey(key) ? ulong.Parse(a[key], CultureInfo.InvariantCulture) : otherwise;
    }

    private static string Flag(bool value)
    {
        return value ? "1" : "0";
    }

    private static int[] Ids(string text)
    {
        return text.Split(new[] { ',' }, StringSplitOptions.RemoveEmptyEntries).Select(int.Parse).ToArray();
    }

    private static Dictionary<string, string> Reply(params string[] pairs)
    {
        var reply = new Dictionary<string, string>();
        for (int i = 0; i < pairs.Length; i += 2) reply[pairs[i]] = pairs[i + 1];
        return reply;
    }

    private static Engine Open(Dictionary<string, string> a)
    {
        EngineConfig config = EngineConfig.Default();
        config.ThreadCount = (uint)Number(a, "thread_count", 1);
        config.MemoryEvents = (uint)Number(a, "memory_events", 0);
        config.Mode = (uint)Number(a, "mode", 0);
        config.ContextTokens = (uint)Number(a, "context_tokens", 0);
        config.MaxSequences = (uint)Number(a, "max_sequences", 0);
        config.MemoryBudgetBytes = Number(a, "memory_budget_bytes", 0);
        return new Engine(config, a.ContainsKey("write_folder") ? a["write_folder"] : null);
    }

    private static Dictionary<string, string> Load(Dictionary<string, string> a)
    {
        ulong last = 0, all = 0;
        bool monotonic = true;
        LoadConfig settings = LoadConfig.Default();
        settings.Flags = (uint)Number(a, "flags", 0);
        objects[a["id"]] = Get<Engine>(a, "engine").Load(a["path"], (done, total) =>
        {
            monotonic &= done >= last;
            last = done;
            all = total;
        }, default(CancellationToken), settings);
        return Reply("monotonic", Flag(monotonic), "complete", Flag(last == all && all > 0));
    }

    private static Generation Begin(Dictionary<string, string> a)
    {
        var model = Get<Model>(a, "model");
        var options = new Options();
        options.Config.MaxTokens = (uint)Number(a, "max_tokens", options.Config.MaxTokens);
        options.Config.IgnoreEos = (uint)Number(a, "ignore_eos", 0);
        options.Config.ContextFull = (uint)Number(a, "context_full", 0);
        if (a.ContainsKey("priority"))
        {
            options.Config.Priority = int.Parse(a["priority"], CultureInfo.InvariantCulture);
        }
        options.Config.Speculation = (uint)Number(a, "speculation", 0);
        options.Config.ChoiceCount = (uint)Number(a, "choice_count", options.Config.ChoiceCount);
        if (a.ContainsKey("temperature") || a.ContainsKey("seed") || a.ContainsKey("top_k"))
        {
            Sampling sampling = model.DefaultSampling();
            if (a.ContainsKey("temperature"))
                sampling.Temperature = float.Parse(a["temperature"], CultureInfo.InvariantCulture);
            sampling.Seed = Number(a, "seed", sampling.Seed);
            sampling.TopK = (int)Number(a, "top_k", (ulong)sampling.TopK);
            options.Sampling = sampling;
        }
        if (a.ContainsKey("stop")) options.Stop = new[] { a["stop"] };
        if (a.ContainsKey("session")) options.Session = Get<Session>(a, "session");
        if (a.ContainsKey("prompt")) return model.Generate(a["prompt"], options);
        if (a.ContainsKey("prompt_ids")) return model.Generate(Ids(a["prompt_ids"]), options);
        var parts = new[] { "system", "system", "user", "user", "assistant", "reply", "user", "then" };
        var messages = new List<Message>();
        for (int i = 0; i < parts.Length; i += 2)
        {
            if (a.ContainsKey(parts[i + 1])) messages.Add(new Message(parts[i], a[parts[i + 1]]));
        }
        return model.Chat(messages, options);
    }

    private static Dictionary<string, string> Finish(Running running)
    {
        foreach (Piece piece in running.Generation) running.Add(piece);
        End end = running.Generation.End;
        return Reply("text", running.Text, "ids", string.Join(",", running.Ids), "finish",
            end.Reason.ToString().ToLowerInvariant(), "prompt_tokens", end.PromptTokens.ToString(), "generated_tokens",
            end.GeneratedTokens.ToString(), "cached_tokens", end.CachedTokens.ToString(), "whole_code_points",
            Flag(!running.Text.Contains("\ufffd")));
    }

    private static TimeSpan? Timeout(Dictionary<string, string> a)
    {
        if (!a.ContainsKey("timeout_us")) return null;
        return TimeSpan.FromTicks((long)Number(a, "timeout_us", 0) * 10);
    }

    private static Dictionary<string, string> MemoryEventReply(Dictionary<string, string> a)
    {
        MemoryEvent found = Get<Engine>(a, "engine").NextMemoryEvent(Timeout(a));
        return Reply("pressure", ((uint)found.Pressure).ToString(), "used", found.UsedBytes.ToString(), "budget",
            found.BudgetBytes.ToString());
    }

    private static Dictionary<string, string> Next(Dictionary<string, string> a)
    {
        Running running = streams[a["stream"]];
        Piece piece = running.Generation.Next(Timeout(a));
        if (piece != null) running.Add(piece);
        return Reply("end", Flag(piece == null));
    }

    private static Dictionary<string, string> CancelElsewhere(Dictionary<string, string> a)
    {
        Next(a);
        Running running = streams[a["stream"]];
        var thread = new Thread(running.Generation.Cancel);
        thread.Start();
        Dictionary<string, string> reply = Finish(running);
        thread.Join();
        return reply;
    }

    private static Dictionary<string, string> Concurrent(Dictionary<string, string> a)
    {
        var texts = new string[(int)Number(a, "count", 0)];
        var threads = Enumerable.Range(0, texts.Length).Select(i => new Thread(() =>
        {
            try
            {
                texts[i] = Begin(a).Text();
            }
            catch (FastserveException exception)
            {
                texts[i] = exception.Message;
            }
        })).ToList();
        threads.ForEach(thread => thread.Start());
        threads.ForEach(thread => thread.Join());
        return Reply("same", Flag(texts.Distinct().Count() == 1), "text", texts[0]);
    }

    private static Dictionary<string, string> Cycle(Dictionary<string, string> a)
    {
        using (Engine engine = Open(Reply()))
        {
            for (ulong i = 0; i < Number(a, "count", 0); ++i)
            {
                using (Model model = engine.Load(a["path"]))
                {
                    var options = new Options();
                    options.Config.MaxTokens = 1;
                    model.Generate("x", options).Text();
                }
            }
        }
        GC.Collect();
        return Reply();
    }

    private static Dictionary<string, string> Reset()
    {
        foreach (IDisposable item in objects.Values.Reverse()) item.Dispose();
        objects.Clear();
        streams.Clear();
        return Reply();
    }

    private static Dictionary<string, string> Stats(Dictionary<string, string> a)
    {
        MemoryStats stats = Get<Engine>(a, "engine").MemoryStats();
        return Reply("models", stats.ModelCount.ToString(), "used", stats.UsedBytes.ToString(), "sessions",
            stats.SessionCount.ToString(), "weights", stats.WeightBytes.ToString());
    }

    private static Dictionary<string, string> Metrics(Dictionary<string, string> a)
    {
        Metrics metrics = Get<Engine>(a, "engine").Metrics();
        return Reply("step_target", metrics.StepTargetUs.ToString(), "submitted", metrics.SubmittedRequests.ToString());
    }

    private static Dictionary<string, string> RequestInfo(Dictionary<string, string> a)
    {
        RequestInfo info = Get<Generation>(a, "stream").Info();
        return Reply("state", info.State.ToString(), "generated", info.GeneratedTokenCount.ToString());
    }

    private static string Text(byte[] terminated)
    {
        return Encoding.UTF8.GetString(terminated, 0, Array.IndexOf(terminated, (byte)0));
    }

    private static Dictionary<string, string> MachineReply()
    {
        MachineInfo info = Machine.Info();
        MachineCeilings ceilings = Machine.Measure(TimeSpan.FromMilliseconds(50), 1);
        return Reply("cpus", info.UsableCpuCount.ToString(), "kernels", Text(info.Kernels), "devices",
            Machine.Devices().Length.ToString(), "measured", Flag(ceilings.ReadBytesPerSecond > 0));
    }

    private static Dictionary<string, string> Inspect(string path)
    {
        ModelInfo info = Machine.Inspect(path);
        return Reply("architecture", Text(info.Architecture), "name", Text(info.Name), "vocabulary_size",
            info.VocabularySize.ToString(), "json", Machine.InspectJson(path), "plan", Machine.PlanJson(path));
    }

    private static Dictionary<string, string> Estimate(Dictionary<string, string> a)
    {
        EngineConfig config = EngineConfig.Default();
        config.ContextTokens = (uint)Number(a, "context_tokens", 0);
        config.MemoryBudgetBytes = Number(a, "memory_budget_bytes", 0);
        MemoryEstimate found = Machine.Estimate(a["path"], config);
        ulong parts = found.WeightBytes + found.KvBytes + found.ActivationBytes + found.OtherBytes;
        return Reply("weights", found.WeightBytes.ToString(), "complete",
            Flag(found.TotalBytes == parts && parts <= found.PeakBytes));
    }

    private static Session Transfer(Dictionary<string, string> a)
    {
        byte[] data = Get<Session>(a, "session").Export();
        if (a.ContainsKey("damaged")) data[data.Length - 1] ^= 1;
        return Get<Model>(a, "model").ImportSession(data);
    }

    private static Dictionary<string, string> OfModel(string word, Dictionary<string, string> a)
    {
        var model = Get<Model>(a, "model");
        switch (word)
        {
            case "tokenize": return Reply("ids", string.Join(",", model.Tokenize(a["text"])));
            case "detokenize": return Reply("text", model.Detokenize(Ids(a["ids"])));
            case "render": return Reply("text", model.RenderChat(new[] { new Message(a["role"], a["content"]) }));
            case "chat_ids":
                return Reply("ids", string.Join(",", model.TokenizeChat(new[] { new Message(a["role"], a["content"]) })));
            case "score":
                return Reply("scores", string.Join(",", model.Score(a["prompt"])
                    .Select(value => (int)Math.Floor(value * 10.0 + 0.5))));
            case "token":
                TokenAttributes attributes;
                string text = Encoding.UTF8.GetString(model.Token((int)Number(a, "token", 0), out attributes));
                return Reply("text", text, "attributes", ((int)attributes).ToString());
        }
        TextRange[] ranges;
        string ids = string.Join(",", model.Tokenize(a["text"], out ranges));
        return Reply("ids", ids, "starts", string.Join(",", ranges.Select(range => range.Start)), "ends",
            string.Join(",", ranges.Select(range => range.End)));
    }

    private static Dictionary<string, string> Info(Dictionary<string, string> a)
    {
        var model = Get<Model>(a, "model");
        return Reply("architecture", model.Architecture, "name", model.Name, "vocabulary_size",
            model.Info().VocabularySize.ToString());
    }

    private static Dictionary<string, string> SessionInfo(Dictionary<string, string> a)
    {
        SessionInfo info = Get<Session>(a, "session").Info();
        return Reply("tokens", info.TokenCount.ToString(), "turns", info.TurnCount.ToString(), "ids",
            string.Join(",", Get<Session>(a, "session").TokenIds()));
    }

    private static Dictionary<string, string> Start(Dictionary<string, string> a)
    {
        var running = new Running { Generation = Begin(a) };
        streams[a["id"]] = running;
        objects[a["id"]] = running.Generation;
        return Reply();
    }

    private static Dictionary<string, string> Run(string word, Dictionary<string, string> a)
    {
        switch (word)
        {
            case "layout": return Reply("layout", Testing.Layout());
            case "version": return Reply("version", Engine.LibraryVersion, "abi", Testing.AbiVersion().ToString());
            case "load": return Load(a);
            case "info": return Info(a);
            case "generate": return Finish(new Running { Generation = Begin(a) });
            case "start": return Start(a);
            case "next": return Next(a);
            case "finish": return Finish(streams[a["stream"]]);
            case "cancel_elsewhere": return CancelElsewhere(a);
            case "concurrent": return Concurrent(a);
            case "session_info": return SessionInfo(a);
            case "model_memory": return Reply("state", Get<Model>(a, "model").Memory().State.ToString());
            case "memory_event": return MemoryEventReply(a);
            case "stats": return Stats(a);
            case "cycle": return Cycle(a);
            case "reset": return Reset();
            case "metrics": return Metrics(a);
            case "request_info": return RequestInfo(a);
            case "machine": return MachineReply();
            case "inspect": return Inspect(a["path"]);
            case "estimate": return Estimate(a);
            case "tokenize":
            case "detokenize":
            case "render":
            case "chat_ids":
            case "score":
            case "token":
            case "ranges": return OfModel(word, a);
        }
        Do(word, a);
        return Reply();
    }

    // Commands without a reply of their own.
    private static void Do(string word, Dictionary<string, string> a)
    {
        switch (word)
        {
            case "open": objects[a["id"]] = Open(a); break;
            case "session": objects[a["id"]] = Get<Model>(a, "model").NewSession(); break;
            case "fork": objects[a["id"]] = Get<Session>(a, "session").Fork(); break;
            case "truncate": Get<Session>(a, "session").Truncate((int)Number(a, "tokens", 0)); break;
            case "save": Get<Session>(a, "session").Save(a["name"]); break;
            case "transfer": objects[a["id"]] = Transfer(a); break;
            case "step_target":
                Get<Engine>(a, "engine").SetStepTarget(TimeSpan.FromTicks((long)Number(a, "us", 0) * 10));
                break;
            case "restore": objects[a["id"]] = Get<Model>(a, "model").LoadSession(a["path"]); break;
            case "priority":
                Get<Generation>(a, "stream").SetPriority(int.Parse(a["priority"], CultureInfo.InvariantCulture));
                break;
            case "evict": Get<Model>(a, "model").Evict(); break;
            case "undo": Get<Session>(a, "session").Undo(); break;
            case "cancel": Get<Generation>(a, "stream").Cancel(); break;
            case "pause": Get<Engine>(a, "engine").Pause(); break;
            case "budget": Get<Engine>(a, "engine").SetMemoryBudget(Number(a, "bytes", 0)); break;
            case "trim": Get<Engine>(a, "engine").Trim((TrimFlags)Number(a, "flags", 0)); break;
            case "resume": Get<Engine>(a, "engine").Resume(); break;
            case "shutdown": Get<Engine>(a, "engine").Shutdown(); break;
            case "close":
                if (objects.ContainsKey(a["id"])) objects[a["id"]].Dispose();
                break;
            default: throw new ArgumentException(word);
        }
    }

    private static string Encoded(string text)
    {
        var line = new StringBuilder();
        foreach (byte b in Encoding.UTF8.GetBytes(text)) line.Append('%').Append(b.ToString("X2"));
        return line.ToString();
    }

    private static void Main()
    {
        var input = new StreamReader(Console.OpenStandardInput(), new UTF8Encoding(false));
        var output = new StreamWriter(Console.OpenStandardOutput(), new UTF8Encoding(false)) { AutoFlush = true };
        for (string line = input.ReadLine(); line != null; line = input.ReadLine())
        {
            string[] words = line.Split(' ');
            var fields = words.Skip(1).Select(pair => pair.Split(new[] { '=' }, 2))
                .ToDictionary(pair => pair[0], pair => Uri.UnescapeDataString(pair[1]));
            string kind = "ok";
            Dictionary<string, string> reply;
            try
            {
                reply = Run(words[0], fields);
            }
            catch (FastserveException exception)
            {
                kind = "error";
                reply = Reply("status", Testing.StatusName(exception.Status), "message", exception.Message);
            }
            output.WriteLine(kind + string.Concat(reply.Select(pair => " " + pair.Key + "=" + Encoded(pair.Value))));
        }
    }
}
