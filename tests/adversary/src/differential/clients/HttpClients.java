import java.io.ByteArrayInputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.WebSocket;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;

/** Java's clients. Arguments: base addresses. Prints `BASE NAME: ok`, or what happened instead. */
class HttpClients {
  static final HttpClient CLIENT = HttpClient.newHttpClient();

  public static void main(String[] bases) throws Exception {
    byte[] large = new byte[1 << 20];
    for (String base : bases) {
      check(base, "GET with an h2c offer", () -> send(to(base).GET().build(), 0));
      check(base, "GET again", () -> send(to(base).GET().build(), 0));
      check(base, "POST with an h2c offer", () ->
          send(to(base).POST(BodyPublishers.ofString("abc")).build(), 3));
      check(base, "POST of a stream with an h2c offer", () ->
          send(to(base).POST(BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(large))).build(), large.length));
      check(base, "PUT that expects 100-continue", () ->
          send(to(base).PUT(BodyPublishers.ofByteArray(large)).expectContinue(true).build(), large.length));
      check(base, "GET of HTTP/1.1", () ->
          send(to(base).version(HttpClient.Version.HTTP_1_1).build(), 0));
      check(base, "HttpURLConnection", () -> {
        var connection = (HttpURLConnection) URI.create(base + "/hi").toURL().openConnection();
        connection.setDoOutput(true);
        connection.getOutputStream().write("abc".getBytes());
        return connection.getResponseCode() == 200 ? "ok" : "" + connection.getResponseCode();
      });
      check(base, "WebSocket", () -> webSocket(base.replaceFirst("^http", "ws") + "/ws"));
    }
    // Threads of the client would keep the process for a while.
    System.exit(0);
  }

  static HttpRequest.Builder to(String base) {
    return HttpRequest.newBuilder(URI.create(base + "/hi"));
  }

  static String send(HttpRequest request, int bytes) throws Exception {
    // Before Java 20, a final response instead of 100 Continue leaves `send` waiting for ever.
    var response = CLIENT.sendAsync(request, BodyHandlers.ofString()).get(8, TimeUnit.SECONDS);
    boolean isWhole = response.body().contains("\"bytes\":" + bytes + ",");
    return response.statusCode() == 200 && isWhole ? "ok" : response.statusCode() + " " + response.body();
  }

  static String webSocket(String address) throws Exception {
    var received = new CompletableFuture<String>();
    var socket = CLIENT.newWebSocketBuilder().subprotocols("v1.a").buildAsync(URI.create(address), new WebSocket.Listener() {
      public CompletionStage<?> onText(WebSocket webSocket, CharSequence data, boolean last) {
        received.complete(data.toString());
        return null;
      }
      public void onError(WebSocket webSocket, Throwable error) {
        received.completeExceptionally(error);
      }
    }).get(10, TimeUnit.SECONDS);
    socket.sendText("hello", true).get(10, TimeUnit.SECONDS);
    String text = received.get(10, TimeUnit.SECONDS);
    socket.sendClose(WebSocket.NORMAL_CLOSURE, "").get(10, TimeUnit.SECONDS);
    return text.equals("hello") ? "ok" : text;
  }

  static void check(String base, String name, Callable<String> run) {
    String outcome;
    try {
      outcome = run.call();
    } catch (Exception error) {
      outcome = error.toString();
    }
    System.out.println(base + " " + name + ": " + outcome.replace('\n', ' '));
  }
}
