import java.io.*;
import java.util.*;

/** docs/clients/LandsideClient.java, driven by lines: see client.js. */
final class JavaPeer {
    private JavaPeer() {}

    public static void main(String[] args) throws IOException {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        LandsideClient client = null;
        for (String line; (line = lines.readLine()) != null; ) {
            LandsideClient.Frame frame = LandsideClient.read(new ByteArrayInputStream(Base64.getDecoder().decode(line)));
            frame.headers().remove("content-length");
            switch (frame.command()) {
                case "CONNECT" -> client = new LandsideClient(args[0], Integer.parseInt(args[1]), frame::headers, JavaPeer::tell);
                case "DISCONNECT" -> {
                    client.close();
                    tell(client, new LandsideClient.Frame("LOST", Map.of(), new byte[0])); // Which it does not say when it was asked to end.
                }
                default -> client.send(frame.command(), frame.headers(), frame.body());
            }
        }
    }

    private static void tell(LandsideClient client, LandsideClient.Frame frame) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        Map<String, String> headers = new LinkedHashMap<>(frame.headers());
        headers.remove("content-length");
        LandsideClient.write(new PrintStream(bytes), frame.command(), headers, frame.body());
        System.out.println(Base64.getEncoder().encodeToString(bytes.toByteArray()));
    }
}
