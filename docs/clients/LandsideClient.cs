using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Net.Sockets;
using System.Text;
using System.Threading;
using System.Threading.Tasks;

/// <summary>STOMP 1.2 over TCP for .NET 4.6 and later: connects, and connects again, until disposed or refused for good.</summary>
public sealed class LandsideClient : IDisposable {
    /// <summary>Names and values are as they are meant: escapes are the wire's.</summary>
    public sealed class Frame {
        public string Command;
        public Dictionary<string, string> Headers = new Dictionary<string, string>();
        public byte[] Body = new byte[0];
        public string this[string header] => Headers.TryGetValue(header, out var value) ? value : "";
    }
    /// <summary>After an ERROR with such a code the same may succeed later; after any other, somebody must change something.</summary>
    static readonly string[] Passing = { "token-expired", "token-revoked", "heart-beat-lost", "connect-timeout", "slow-consumer",
        "too-many", "too-many-sessions", "too-many-queues", "too-many-durable-subscriptions", "durable-in-use", "queue-full", "retained-full",
        "shutting-down", "unavailable", "certificate-outdated" };
    const int PatienceMs = 10000, FirstPauseMs = 500, LongestPauseMs = 30000;
    readonly ConcurrentDictionary<string, Frame> subscriptions = new ConcurrentDictionary<string, Frame>();
    readonly ConcurrentDictionary<string, TaskCompletionSource<bool>> receipts = new ConcurrentDictionary<string, TaskCompletionSource<bool>>();
    readonly object writing = new object();
    readonly Action<LandsideClient, Frame> listener;
    volatile bool closed, refused; // By us, by the server.
    Stream output; // Guarded by `writing`; null while there is no session.

    /// <summary>Asks `login` before each CONNECT for headers such as `Authorization` (`Bearer ...`). Tells `listener` every frame, and two of
    /// its own: LOST at each failure (what a screen shows is old until CONNECTED), CLOSED when it will not come back.</summary>
    public LandsideClient(string host, int port, Func<Dictionary<string, string>> login, Action<LandsideClient, Frame> listener) {
        this.listener = listener;
        new Thread(() => Run(host, port, login)) { IsBackground = true }.Start();
    }

    /// <summary>With a header `receipt`, completes when the server has done it. InvalidOperationException: it was refused (and
    /// /user/queue/errors is subscribed to). Any other: nobody knows. SUBSCRIBE lasts: over reconnects, and without a time-out.</summary>
    public Task Send(string command, Dictionary<string, string> headers, byte[] body = null) {
        var frame = new Frame { Command = command, Headers = new Dictionary<string, string>(headers), Body = body ?? new byte[0] };
        var done = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        var lasts = command == "SUBSCRIBE";
        if (lasts && frame["receipt"] == "") frame.Headers["receipt"] = Guid.NewGuid().ToString();
        if (lasts && Resumes(frame) && frame["x-resume-from"] == "") frame.Headers["x-resume-from"] = "new"; // Answered with a position.
        lock (writing) {
            if (lasts) subscriptions[frame["id"]] = frame;
            if (command == "UNSUBSCRIBE") subscriptions.TryRemove(frame["id"], out _);
            if (frame["receipt"] != "") receipts[frame["receipt"]] = done;
            try { Write(output ?? throw new IOException("not connected"), frame); }
            catch (Exception e) { if (!lasts || closed || refused) done.TrySetException(e); }
        }
        if (frame["receipt"] == "") done.TrySetResult(true);
        else if (!lasts) new CancellationTokenSource(PatienceMs).Token.Register(() => done.TrySetException(new TimeoutException("no receipt")));
        return done.Task;
    }

    /// <summary>Returns when the server has done all that was sent; throws when nobody knows. Not for the listener.</summary>
    public void Dispose() {
        closed = true; // A connection that is being made gives up when it sees that.
        var last = new Dictionary<string, string> { ["receipt"] = Guid.NewGuid().ToString() };
        Task done;
        lock (writing) done = output == null ? Task.CompletedTask : Send("DISCONNECT", last);
        try { done.Wait(); } finally { lock (writing) output?.Dispose(); } // And the socket with it.
    }

    void Run(string host, int port, Func<Dictionary<string, string>> login) {
        var random = new Random(Guid.NewGuid().GetHashCode());
        for (var pause = 0; !closed && !refused; pause = Math.Min(Math.Max(2 * pause, FirstPauseMs), LongestPauseMs)) {
            Thread.Sleep(pause / 2 + random.Next(pause / 2 + 1)); // Not all kiosks at the same moment.
            try {
                using (var tcp = new TcpClient(host, port) { NoDelay = true })
                using (var beats = new Timer(_ => { lock (writing) try { tcp.GetStream().WriteByte(10); } catch (Exception) { } })) {
                    var input = new BufferedStream(tcp.GetStream());
                    Open(tcp.GetStream(), input, login(), beats);
                    for (pause = 0; ; ) Handle(Read(input));
                }
            } catch (Exception e) {
                lock (writing) output = null;
                foreach (var receipt in receipts.Keys.Where(it => closed || refused || subscriptions.Values.All(on => on["receipt"] != it)))
                    if (receipts.TryRemove(receipt, out var waiting)) waiting.TrySetException(new IOException("connection lost", e));
                if (!closed) listener(this, new Frame { Command = refused ? "CLOSED" : "LOST", Headers = { ["message"] = e.Message } });
            }
        }
    }

    void Open(NetworkStream stream, Stream input, Dictionary<string, string> login, Timer beats) {
        var connect = new Frame { Command = "CONNECT", Headers = { ["accept-version"] = "1.2", ["host"] = "landside", ["heart-beat"] = "10000,10000" } };
        foreach (var header in login) connect.Headers[header.Key] = header.Value;
        stream.ReadTimeout = PatienceMs;
        lock (writing) if (closed) throw new IOException("closed"); else Write(stream, connect);
        var answer = Read(input);
        string[] mine = connect["heart-beat"].Split(','), its = (answer["heart-beat"] == "" ? "0,0" : answer["heart-beat"]).Split(',');
        int send = Agreed(mine[0], its[1]) * 3 / 4, receive = 3 * Agreed(its[0], mine[1]); // Rather early; a beat may come late.
        stream.ReadTimeout = receive == 0 ? Timeout.Infinite : receive;
        if (send > 0) beats.Change(send, send);
        lock (writing) {
            if (closed) throw new IOException("closed");
            if (answer.Command == "CONNECTED") output = stream;
            if (output != null) foreach (var again in subscriptions.Values) Write(output, again);
        }
        Handle(answer);
    }

    void Handle(Frame frame) {
        listener(this, frame);
        if (subscriptions.TryGetValue(frame["subscription"], out var to) && Resumes(to)) to.Headers["x-resume-from"] = frame["message-id"];
        var denied = frame["destination"] == "/user/queue/errors";
        if ((denied || frame.Command == "RECEIPT") && receipts.TryRemove(frame["receipt-id"], out var waiting))
            if (denied) waiting.TrySetException(new InvalidOperationException(frame["message"])); else waiting.TrySetResult(true);
        if (frame.Command != "ERROR") return;
        refused = !Passing.Contains(frame["code"]);
        throw new IOException(frame["message"]); // What waits for receipts fails as well.
    }
    static bool Resumes(Frame subscription) => subscription["x-conflate"] == "" && subscription["durable-subscription-name"] == ""
        && subscription["destination"].StartsWith("/topic/", StringComparison.Ordinal);
    static int Agreed(string promise, string wish) => promise == "0" || wish == "0" ? 0 : Math.Max(int.Parse(promise), int.Parse(wish));
    internal static void Write(Stream stream, Frame frame) {
        Func<string, string> escape = text => frame.Command.StartsWith("CONNECT") ? text
            : text.Replace("\\", "\\\\").Replace("\r", "\\r").Replace("\n", "\\n").Replace(":", "\\c");
        var head = frame.Command + "\n" + string.Concat(frame.Headers.Select(it => escape(it.Key) + ":" + escape(it.Value) + "\n"));
        if (frame.Body.Length > 0) head += "content-length:" + frame.Body.Length + "\n";
        var bytes = Encoding.UTF8.GetBytes(head + "\n").Concat(frame.Body).Concat(new byte[1]).ToArray();
        stream.Write(bytes, 0, bytes.Length);
    }
    internal static Frame Read(Stream input) {
        var frame = new Frame();
        while ((frame.Command = Line(input)) == "") { } // Heart-beats.
        // The NUL, which no header has, stands for the backslash meanwhile. CONNECTED knows no escapes.
        Func<string, string> unescape = text => frame.Command.StartsWith("CONNECT") ? text : text.Replace("\\\\", "\0")
            .Replace("\\n", "\n").Replace("\\r", "\r").Replace("\\c", ":").Replace("\0", "\\");
        for (string line; (line = Line(input)) != ""; ) {
            var pair = line.Split(new[] { ':' }, 2).Select(unescape).ToArray();
            if (!frame.Headers.ContainsKey(pair[0])) frame.Headers[pair[0]] = pair[1]; // Of two, the first counts.
        }
        var counted = int.TryParse(frame["content-length"], out var length);
        frame.Body = counted ? new BinaryReader(input).ReadBytes(length) : Until(0, input);
        if (counted && input.ReadByte() != 0) throw new IOException("a frame does not end where it says");
        return frame;
    }
    static string Line(Stream input) => Encoding.UTF8.GetString(Until('\n', input)).TrimEnd('\r');
    static byte[] Until(int end, Stream input) {
        var bytes = new MemoryStream();
        for (int octet; (octet = input.ReadByte()) != end; bytes.WriteByte((byte)octet))
            if (octet < 0) throw new EndOfStreamException("the server has closed the connection");
        return bytes.ToArray();
    }
}
