using System;
using System.IO;

/// <summary>docs/clients/LandsideClient.cs, driven by lines: see client.js.</summary>
static class CsPeer {
    static void Main(string[] args) {
        LandsideClient client = null;
        for (string line; (line = Console.ReadLine()) != null; ) {
            var frame = LandsideClient.Read(new MemoryStream(Convert.FromBase64String(line)));
            frame.Headers.Remove("content-length");
            if (frame.Command == "CONNECT") client = new LandsideClient(args[0], int.Parse(args[1]), () => frame.Headers, Tell);
            else if (frame.Command == "DISCONNECT") {
                client.Dispose();
                Tell(client, new LandsideClient.Frame { Command = "LOST" }); // Which it does not say when it was asked to end.
            }
            else client.Send(frame.Command, frame.Headers, frame.Body);
        }
    }

    static void Tell(LandsideClient client, LandsideClient.Frame frame) {
        frame.Headers.Remove("content-length");
        var bytes = new MemoryStream();
        LandsideClient.Write(bytes, frame);
        Console.WriteLine(Convert.ToBase64String(bytes.ToArray()));
    }
}
