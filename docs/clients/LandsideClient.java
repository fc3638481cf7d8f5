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
    private static final Set<String> PASSING = Set.of("token-expired", "heart-beat-lost", "connect-timeout", "slow-consumer",
        "too-many-sessions", "queue-full", "shutting-down", "unavailable");
    private static final Set<String> NOT_RESUMED = Set.of("x-conflate", "durable-subscription-name");
    private static final int PATIENCE_MS = 10_000, FIRST_PAUSE_MS = 500, LONGEST_PAUSE_MS = 30_000;
    private final Map<String, Map<String, String>> subscriptions = new ConcurrentHashMap<>();
    private final Map<String, CompletableFuture<Void>> receipts = new ConcurrentHashMap<>();
    private final Consumer<Frame> listener;
    private volatile boolean closed;
    private PrintStream out; // Guarded by `this`; null while there is no session.

    /** Asks `login` before each CONNECT for headers such as `Authorization` (`Bearer ...`). Tells `listener` every frame, on the
     * reading thread, and LOST, which is not the server's: from then to the next CONNECTED, what a screen shows is old. */
    public LandsideClient(String host, int port, Supplier<Map<String, String>> login, Consumer<Frame> listener) {
        this.listener = listener;
        Thread thread = new Thread(() -> run(host, port, login), "landside");
        thread.setDaemon(true);
        thread.start();
    }

    /** With a header `receipt`, completes when the server has done it; fails with IllegalStateException when it was refused
     * (subscribe to /user/queue/errors), with another when nobody knows. Subscriptions go on after a reconnect. */
    public synchronized CompletableFuture<Void> send(String command, Map<String, String> headers, byte[] body) {
        CompletableFuture<Void> done = new CompletableFuture<Void>().orTimeout(PATIENCE_MS, TimeUnit.MILLISECONDS);
        if (command.equals("SUBSCRIBE")) subscriptions.put(headers.get("id"), new ConcurrentHashMap<>(headers));
        if (command.equals("UNSUBSCRIBE")) subscriptions.remove(headers.get("id"));
        if (headers.containsKey("receipt")) receipts.put(headers.get("receipt"), done);
        if (out == null || !write(out, command, headers, body)) done.completeExceptionally(new IOException("not connected"));
        else if (!headers.containsKey("receipt")) done.complete(null);
        return done;
    }

    /** Returns when the server has done all that was sent; throws when nobody knows. */
    @Override public void close() {
        closed = true;
        send("DISCONNECT", Map.of("receipt", UUID.randomUUID().toString()), new byte[0])
            .whenComplete((done, failure) -> { synchronized (this) { if (out != null) out.close(); } }).join();
    }

    private void run(String host, int port, Supplier<Map<String, String>> login) {
        for (int pause = 0; !closed; pause = Math.min(Math.max(2 * pause, FIRST_PAUSE_MS), LONGEST_PAUSE_MS)) {
            ScheduledExecutorService beats = Executors.newSingleThreadScheduledExecutor();
            try (Socket socket = new Socket()) {
                Thread.sleep(pause / 2 + new Random().nextInt(pause / 2 + 1)); // Not all kiosks at the same moment.
                socket.connect(new InetSocketAddress(host, port), PATIENCE_MS);
                socket.setTcpNoDelay(true);
                InputStream in = new BufferedInputStream(socket.getInputStream());
                open(socket, in, new HashMap<>(login.get()), beats);
                for (pause = 0; ; ) handle(read(in));
            } catch (IOException | InterruptedException | RuntimeException e) {
                beats.shutdownNow();
                synchronized (this) { out = null; }
                receipts.values().forEach(waiting -> waiting.completeExceptionally(e));
                receipts.clear();
                listener.accept(new Frame("LOST", Map.of("message", String.valueOf(e.getMessage())), new byte[0]));
            }
        }
    }

    private void open(Socket socket, InputStream in, Map<String, String> headers, ScheduledExecutorService beats) throws IOException {
        PrintStream fresh = new PrintStream(new BufferedOutputStream(socket.getOutputStream()));
        headers.putAll(Map.of("accept-version", "1.2", "host", "landside"));
        IntBinaryOperator agree = (promise, wish) -> Math.min(promise, wish) == 0 ? 0 : Math.max(promise, wish);
        headers.putIfAbsent("heart-beat", "10000,10000");
        int[] mine = Arrays.stream(headers.get("heart-beat").split(",")).mapToInt(Integer::parseInt).toArray();
        socket.setSoTimeout(PATIENCE_MS);
        write(fresh, "CONNECT", headers, new byte[0]);
        Frame answer = read(in);
        int[] its = Arrays.stream(answer.headers.getOrDefault("heart-beat", "0,0").split(",")).mapToInt(Integer::parseInt).toArray();
        socket.setSoTimeout(3 * agree.applyAsInt(its[0], mine[1])); // A beat may come late. 0: silence is no sign of death.
        long every = agree.applyAsInt(mine[0], its[1]) * 3L / 4; // Rather early than late.
        Runnable beat = () -> { synchronized (this) { fresh.write('\n'); fresh.flush(); } };
        if (every > 0) beats.scheduleAtFixedRate(beat, every, every, TimeUnit.MILLISECONDS);
        synchronized (this) {
            if (answer.command.equals("CONNECTED")) out = fresh;
            subscriptions.values().forEach(again -> send("SUBSCRIBE", again, new byte[0]));
        }
        handle(answer);
    }

    private void handle(Frame frame) throws IOException {
        listener.accept(frame);
        Map<String, String> subscription = subscriptions.get(frame.headers.getOrDefault("subscription", ""));
        if (subscription != null && subscription.get("destination").startsWith("/topic/")
            && Collections.disjoint(subscription.keySet(), NOT_RESUMED))
            subscription.put("x-resume-from", frame.headers.get("message-id"));
        if (frame.command.equals("ERROR")) {
            closed |= !PASSING.contains(frame.headers.getOrDefault("code", ""));
            throw new IOException(frame.headers.get("message")); // What waits for receipts fails as well.
        }
        boolean refused = "/user/queue/errors".equals(frame.headers.get("destination"));
        if (!refused && !frame.command.equals("RECEIPT")) return;
        CompletableFuture<Void> waiting = receipts.remove(frame.headers.getOrDefault("receipt-id", ""));
        if (refused && waiting != null) waiting.completeExceptionally(new IllegalStateException(frame.headers.get("message")));
        else if (waiting != null) waiting.complete(null);
    }

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
        for (String line = line(in); !line.isEmpty(); line = line(in)) {
            String[] pair = line.split(":", 2);
            headers.putIfAbsent(unescape.apply(pair[0]), unescape.apply(pair[1])); // Of two, the first counts.
        }
        String length = headers.get("content-length");
        byte[] body = length == null ? until(0, in) : in.readNBytes(Integer.parseInt(length));
        if (length != null && in.read() != 0) throw new IOException("a frame does not end where it says");
        return new Frame(command, headers, body);
    }

    private static String line(InputStream in) throws IOException {
        return new String(until('\n', in), StandardCharsets.UTF_8).replaceFirst("\r$", "");
    }

    private static byte[] until(int end, InputStream in) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        for (int octet; (octet = in.read()) != end; bytes.write(octet))
            if (octet < 0) throw new EOFException("the server has closed the connection");
        return bytes.toByteArray();
    }
}
