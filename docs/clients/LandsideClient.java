import java.io.*;
import java.net.*;
import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.concurrent.*;
import java.util.function.*;

/** STOMP 1.2 over TCP for Java 17: connects, and connects again, until it is closed or refused for good. */
public final class LandsideClient implements AutoCloseable {
    /** Names and values are as they are meant: escapes are the wire's. */
    public record Frame(String command, Map<String, String> headers, byte[] body) {}
    /** After an ERROR with such a code the same may succeed later; after any other, somebody must change something. */
    private static final Set<String> PASSING = Set.of("token-expired", "token-revoked", "heart-beat-lost", "connect-timeout", "slow-consumer",
        "too-many", "too-many-sessions", "too-many-queues", "too-many-durable-subscriptions", "durable-in-use", "queue-full", "retained-full",
        "shutting-down", "unavailable", "certificate-outdated"), NOT_RESUMED = Set.of("x-conflate", "durable-subscription-name");
    private static final int PATIENCE_MS = 10_000, FIRST_PAUSE_MS = 500, LONGEST_PAUSE_MS = 30_000;
    private final Map<String, Map<String, String>> subscriptions = new ConcurrentHashMap<>();
    private final Map<String, CompletableFuture<Void>> receipts = new ConcurrentHashMap<>();
    private final BiConsumer<LandsideClient, Frame> listener;
    private volatile boolean closed, refused; // By us, by the server.
    private PrintStream out; // Guarded by `this`; null while there is no session.

    /** Asks `login` before each CONNECT for headers such as `Authorization` (`Bearer ...`). Tells `listener` every frame, and two
     * of its own: LOST at each failure (what a screen shows is old until CONNECTED), CLOSED when it will not come back. */
    public LandsideClient(String host, int port, Supplier<Map<String, String>> login, BiConsumer<LandsideClient, Frame> listener) {
        this.listener = listener;
        new Timer("landside", true).schedule(task(() -> run(host, port, login)), 0);
    }

    /** With a header `receipt`, completes when the server has done it; fails with IllegalStateException when it was refused (and
     * /user/queue/errors is subscribed to), with another when nobody knows. SUBSCRIBE lasts: over reconnects, and without a time-out. */
    public synchronized CompletableFuture<Void> send(String command, Map<String, String> headers, byte[] body) {
        CompletableFuture<Void> done = new CompletableFuture<>();
        Map<String, String> all = new ConcurrentHashMap<>(headers);
        boolean lasts = command.equals("SUBSCRIBE");
        if (lasts) all.putIfAbsent("receipt", UUID.randomUUID().toString());
        if (lasts && resumes(all)) all.putIfAbsent("x-resume-from", "new"); // No position: answered with a gap notice, which has one.
        if (lasts) subscriptions.put(all.get("id"), all);
        else done.orTimeout(PATIENCE_MS, TimeUnit.MILLISECONDS);
        if (command.equals("UNSUBSCRIBE")) subscriptions.remove(all.get("id"));
        String receipt = all.getOrDefault("receipt", "");
        receipts.put(receipt, done);
        done.whenComplete((nothing, failure) -> receipts.remove(receipt, done));
        boolean sent = out != null && write(out, command, all, body);
        if (!sent && (closed || refused || !lasts)) done.completeExceptionally(new IOException("not connected"));
        else if (receipt.isEmpty()) done.complete(null);
        return done;
    }

    /** Returns when the server has done all that was sent; throws when nobody knows. Not for the listener, who would wait for itself. */
    @Override public void close() {
        closed = true; // A connection that is being made gives up when it sees that.
        Map<String, String> last = Map.of("receipt", UUID.randomUUID().toString());
        CompletableFuture<Void> done;
        synchronized (this) { done = out == null ? CompletableFuture.completedFuture(null) : send("DISCONNECT", last, new byte[0]); }
        done.whenComplete((nothing, failure) -> { synchronized (this) { if (out != null) out.close(); } }).join();
    }

    private void run(String host, int port, Supplier<Map<String, String>> login) {
        for (int pause = 0; !closed && !refused; pause = Math.min(Math.max(2 * pause, FIRST_PAUSE_MS), LONGEST_PAUSE_MS)) {
            Timer beats = new Timer("landside-beats", true);
            try (Socket socket = new Socket()) {
                Thread.sleep(pause / 2 + new Random().nextInt(pause / 2 + 1)); // Not all kiosks at the same moment.
                socket.connect(new InetSocketAddress(host, port), PATIENCE_MS);
                socket.setTcpNoDelay(true);
                socket.setSoTimeout(PATIENCE_MS);
                InputStream in = new BufferedInputStream(socket.getInputStream());
                open(socket, in, new HashMap<>(login.get()), beats);
                for (pause = 0; ; ) handle(read(in));
            } catch (IOException | InterruptedException | RuntimeException e) {
                beats.cancel();
                synchronized (this) { out = null; }
                Predicate<String> lasts = it -> !closed && !refused && subscriptions.values().stream().anyMatch(s -> it.equals(s.get("receipt")));
                receipts.forEach((it, waiting) -> { if (!lasts.test(it)) waiting.completeExceptionally(e); });
                if (!closed) listener.accept(this, new Frame(refused ? "CLOSED" : "LOST", Map.of("message", "" + e.getMessage()), new byte[0]));
            }
        }
    }

    private void open(Socket socket, InputStream in, Map<String, String> headers, Timer beats) throws IOException {
        PrintStream fresh = new PrintStream(new BufferedOutputStream(socket.getOutputStream()));
        headers.putAll(Map.of("accept-version", "1.2", "host", "landside"));
        headers.putIfAbsent("heart-beat", "10000,10000");
        IntBinaryOperator agree = (promise, wish) -> Math.min(promise, wish) == 0 ? 0 : Math.max(promise, wish);
        int[] mine = Arrays.stream(headers.get("heart-beat").split(",")).mapToInt(Integer::parseInt).toArray();
        synchronized (this) { if (closed || !write(fresh, "CONNECT", headers, new byte[0])) throw new IOException("closed"); }
        Frame answer = read(in);
        int[] its = Arrays.stream(answer.headers.getOrDefault("heart-beat", "0,0").split(",")).mapToInt(Integer::parseInt).toArray();
        socket.setSoTimeout(3 * agree.applyAsInt(its[0], mine[1])); // A beat may come late. 0: silence is no sign of death.
        long every = agree.applyAsInt(mine[0], its[1]) * 3L / 4; // Rather early than late.
        if (every > 0) beats.schedule(task(() -> { synchronized (this) { fresh.write('\n'); fresh.flush(); } }), every, every);
        synchronized (this) {
            if (closed) throw new IOException("closed");
            if (answer.command.equals("CONNECTED")) out = fresh;
            if (out != null) subscriptions.values().forEach(again -> write(out, "SUBSCRIBE", again, new byte[0]));
        }
        handle(answer);
    }

    private void handle(Frame frame) throws IOException {
        listener.accept(this, frame);
        Map<String, String> subscription = subscriptions.get(frame.headers.getOrDefault("subscription", ""));
        if (subscription != null && resumes(subscription)) subscription.put("x-resume-from", frame.headers.get("message-id"));
        refused = frame.command.equals("ERROR") && !PASSING.contains(frame.headers.getOrDefault("code", ""));
        if (frame.command.equals("ERROR")) throw new IOException(frame.headers.get("message")); // Fails what waits for receipts.
        boolean denied = "/user/queue/errors".equals(frame.headers.get("destination"));
        String done = denied || frame.command.equals("RECEIPT") ? frame.headers.getOrDefault("receipt-id", "") : "";
        CompletableFuture<Void> waiting = receipts.get(done);
        if (denied && waiting != null) waiting.completeExceptionally(new IllegalStateException(frame.headers.get("message")));
        else if (waiting != null) waiting.complete(null);
    }
    private static boolean resumes(Map<String, String> subscription) {
        return subscription.get("destination").startsWith("/topic/") && Collections.disjoint(subscription.keySet(), NOT_RESUMED);
    }
    private static TimerTask task(Runnable work) { return new TimerTask() { @Override public void run() { work.run(); } }; }
    static boolean write(PrintStream out, String command, Map<String, String> headers, byte[] body) {
        UnaryOperator<String> escape = text -> command.startsWith("CONNECT") ? text
            : text.replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n").replace(":", "\\c");
        StringBuilder head = new StringBuilder(command).append('\n');
        headers.forEach((name, value) -> head.append(escape.apply(name)).append(':').append(escape.apply(value)).append('\n'));
        if (body.length > 0) head.append("content-length:").append(body.length).append('\n');
        out.writeBytes(head.append('\n').toString().getBytes(StandardCharsets.UTF_8));
        out.writeBytes(body);
        out.write(0);
        return !out.checkError(); // Flushes, too.
    }
    static Frame read(InputStream in) throws IOException {
        String command = line(in);
        while (command.isEmpty()) command = line(in); // Heart-beats.
        // The NUL, which no header has, stands for the backslash meanwhile. CONNECTED knows no escapes.
        UnaryOperator<String> unescape = command.startsWith("CONNECT") ? text -> text : text -> text.replace("\\\\", "\0")
            .replace("\\n", "\n").replace("\\r", "\r").replace("\\c", ":").replace("\0", "\\");
        Map<String, String> headers = new LinkedHashMap<>();
        for (String[] pair; (pair = line(in).split(":", 2)).length == 2; ) // Of two, the first counts.
            headers.putIfAbsent(unescape.apply(pair[0]), unescape.apply(pair[1]));
        String length = headers.get("content-length");
        byte[] body = length == null ? until(0, in) : in.readNBytes(Integer.parseInt(length));
        if (length != null && in.read() != 0) throw new IOException("a frame does not end where it says");
        return new Frame(command, headers, body);
    }

    static String line(InputStream in) throws IOException { return new String(until('\n', in), StandardCharsets.UTF_8).replaceFirst("\r$", ""); }
    private static byte[] until(int end, InputStream in) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        for (int octet; (octet = in.read()) != end; bytes.write(octet))
            if (octet < 0) throw new EOFException("the server has closed the connection");
        return bytes.toByteArray();
    }
}
