// What C# adds to the conformance cases: exceptions, Dispose in any order, tokens of cancellation, finalisers.
using System;
using System.Collections.Generic;
using System.Threading;
using Fastserve;

internal static class LifecycleTest
{
    private static string tiny;

    private static void Expect(bool condition, string what)
    {
        if (condition) return;
        Console.WriteLine("expected: " + what);
        Environment.Exit(1);
    }

    private static Status Refused(Action action)
    {
        try
        {
            action();
        }
        catch (FastserveException exception)
        {
            Expect(exception.Message != "", "a message");
            return exception.Status;
        }
        return Status.Ok;
    }

    private static Engine NewEngine()
    {
        EngineConfig config = EngineConfig.Default();
        config.ThreadCount = 1;
        return new Engine(config);
    }

    private static Options Endless()
    {
        var options = new Options();
        options.Config.IgnoreEos = 1;
        options.Config.MaxTokens = 100000000;
        options.Config.ContextFull = (uint)ContextFull.Slide;
        return options;
    }

    private static void DisposedTwiceAndUsedAfterwards()
    {
        Engine engine = NewEngine();
        Expect(Refused(() => engine.Load("nowhere.gguf")) == Status.NotFound, "NotFound");
        Model model = engine.Load(tiny);
        Generation generation = model.Generate("tick tock", Endless());
        Expect(generation.Next() != null, "a piece");
        generation.Dispose();
        generation.Dispose();
        Expect(generation.Next() == null, "no piece after the end");
        model.Dispose();
        model.Dispose();
        Expect(Refused(() => model.Generate("x")) == Status.Stale, "a stale model");
        engine.Dispose();
        engine.Dispose();
        Expect(Refused(() => engine.MemoryStats()) == Status.Stale, "a stale engine");
    }

    private static void AlternativesOfEachToken()
    {
        using (Engine engine = NewEngine())
        {
            Model model = engine.Load(tiny);
            var options = new Options();
            options.Config.MaxTokens = 4;
            options.Config.LogprobCount = 3;
            options.Config.ReportLogprobs = 1;
            Sampling greedy = model.DefaultSampling();
            greedy.Temperature = 0;
            options.Sampling = greedy;
            int seen = 0;
            foreach (Piece piece in model.Generate("The cat", options))
            {
                Expect(piece.TopLogprobs.Length == piece.TokenIds.Length, "a row for each token");
                for (int i = 0; i < piece.TokenIds.Length; ++i, ++seen)
                {
                    TokenLogprob[] row = piece.TopLogprobs[i];
                    Expect(row.Length == 3, "three alternatives");
                    Expect(row[0].TokenId == piece.TokenIds[i] && row[0].Logprob == piece.Logprobs[i], "the token first");
                    Expect(row[0].Logprob >= row[1].Logprob && row[1].Logprob >= row[2].Logprob, "an order");
                }
            }
            Expect(seen > 0, "tokens");
        }
    }

    private static void InAnyOrder()
    {
        for (int order = 0; order < 24; ++order)
        {
            Engine engine = NewEngine();
            Model model = engine.Load(tiny);
            Session session = model.NewSession();
            Options options = Endless();
            options.Session = session;
            Generation generation = model.Generate("tick tock", options);
            generation.Next();
            var left = new List<IDisposable> { engine, model, session, generation };
            for (int code = order; left.Count > 0;)
            {
                int at = code % left.Count;
                code /= left.Count;
                left[at].Dispose();
                left.RemoveAt(at);
            }
        }
    }

    private static void TokensCancel()
    {
        using (Engine engine = NewEngine())
        using (var source = new CancellationTokenSource())
        {
            Model model = engine.Load(tiny);
            Options options = Endless();
            options.Cancel = source.Token;
            bool thrown = false;
            try
            {
                foreach (Piece piece in model.Generate("tick tock", options)) source.Cancel();
            }
            catch (OperationCanceledException)
            {
                thrown = true;
            }
            Expect(thrown, "OperationCanceledException");
            foreach (Piece piece in model.Generate("tick tock", Endless())) break; // cancels too
        }
    }

    private static void Finalisers()
    {
        for (int i = 0; i < 10; ++i)
        {
            Model model = NewEngine().Load(tiny);
            model.Generate("tick tock", Endless()).Next();
        }
        GC.Collect();
        GC.WaitForPendingFinalizers();
    }

    private static void ClosedByAnotherThread()
    {
        Engine engine = NewEngine();
        Generation generation = engine.Load(tiny).Generate("tick tock", Endless());
        generation.Next();
        var closer = new Thread(engine.Dispose);
        closer.Start();
        Status status = Refused(() => { while (generation.Next() != null) { } });
        Expect(status != Status.Ok || generation.End.Reason == FinishReason.Shutdown, "an end");
        closer.Join();
    }

    private static void Logs()
    {
        foreach (Mode mode in new[] { Mode.Pumped, Mode.Threaded })
        {
            var lines = new List<string>();
            EngineConfig config = EngineConfig.Default();
            config.Mode = (uint)mode;
            Action<LogLevel, string> log = (level, line) =>
            {
                lock (lines) lines.Add(level + ": " + line);
                throw new InvalidOperationException("a log that throws");
            };
            using (var engine = new Engine(config, null, log))
            {
                for (int i = 0; i < 20; ++i)
                {
                    using (Model model = engine.Load(tiny))
                    {
                        GC.Collect(); // stops every thread that has run managed code
                        Expect(model.Generate("The cat").Text() != "", "an answer");
                    }
                }
            }
            Expect(lines.Count == 20, "a line for each load in " + mode + ": " + lines.Count);
            foreach (string line in lines) Expect(line.StartsWith("Info: loaded "), line);
        }
    }

    private static void LogsEndWithTheEngine()
    {
        Engine engine = null;
        var ended = new ManualResetEvent(false);
        engine = new Engine(EngineConfig.Default(), null, (level, line) =>
        {
            engine.Dispose(); // also from the log's own thread
            ended.Set();
        });
        Refused(() => engine.Load(tiny).Dispose()); // perhaps: it may end before the model is taken
        ended.WaitOne();
        engine.Dispose();
        for (int i = 0; i < 20; ++i) new Engine(EngineConfig.Default(), null, (level, line) => { });
        GC.Collect();
        GC.WaitForPendingFinalizers();
    }

    private static void Main(string[] arguments)
    {
        tiny = arguments[0];
        DisposedTwiceAndUsedAfterwards();
        AlternativesOfEachToken();
        InAnyOrder();
        TokensCancel();
        Finalisers();
        ClosedByAnotherThread();
        Logs();
        LogsEndWithTheEngine();
        Console.WriteLine("passed");
    }
}
