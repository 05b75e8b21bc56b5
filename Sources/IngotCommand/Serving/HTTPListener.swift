import HTTPTypes
import HummingbirdCore
import IngotServing
import IngotSystem
import Logging
import NIOCore
import NIOPosix
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Takes requests of HTTP to a service and its answers back.
///
/// Limits are kept here, before a request costs more than its bytes: connections, heads, bodies, and the time that they take to come.
struct HTTPListener: Sendable {
  struct Limits: Sendable {
    var bodyBytes = 1 << 24
    var headBytes = 1 << 16
    var connections = 512
    /// For a request to come whole.
    var requestTime = Duration.seconds(60)
    /// For connections without a request.
    var idleTime = Duration.seconds(60)
  }

  let host: String
  let port: Int
  let limits: Limits
  let service: ServingService
  private let bodies = HeldBytes()
  /// Is told of each response: method, path, status, seconds.
  let log: (@Sendable (String, String, Int, Double) -> Void)?

  /// Listens until it is asked to stop, then lets requests under way end.
  ///
  /// - Parameters:
  ///   - isStopping: asked some times a second.
  ///   - patience: for requests under way.
  ///   - started: is told the port.
  /// - Throws: FormatError where the address cannot be had.
  func run(
    until isStopping: @escaping @Sendable () -> Bool, patience: Duration,
    started: @escaping @Sendable (Int) -> Void
  ) async throws {
    let server = Server(
      childChannelSetup: HTTP1Channel(
        responder: respond,
        configuration: HTTP1Channel.Configuration(
          idleTimeout: TimeAmount(limits.idleTime),
          httpDecoderConfiguration: .init(
            maxHeaderFieldSize: limits.headBytes, maxHeaderListSize: limits.headBytes,
            maxHeaderFieldCount: 200))),
      configuration: ServerConfiguration(
        address: .hostname(host, port: port),
        availableConnectionsDelegate: MaximumAvailableConnections(
          limits.connections, logger: Self.silence)),
      onServerRunning: { channel in started(channel.localAddress?.port ?? port) },
      eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: Self.silence)
    try await withThrowingTaskGroup(of: Bool.self) { group in
      group.addTask {
        do {
          try await server.run()
        } catch {
          throw cannotListen(error)
        }
        return false
      }
      group.addTask {
        while !isStopping(), !Task.isCancelled { try await Task.sleep(for: .milliseconds(50)) }
        return true
      }
      guard try await group.next()! else { return group.cancelAll() }
      await service.drain(patience)
      group.addTask {
        try await server.shutdownGracefully()
        return false
      }
      group.addTask {
        // Clients that read no more are not waited for.
        try await Task.sleep(for: .seconds(5))
        return false
      }
      _ = try await group.next()
      group.cancelAll()
    }
  }

  private static let silence = Logger(label: "server", factory: { _ in SwiftLogNoOpLogHandler() })

  private func cannotListen(_ error: any Error) -> FormatError {
    let found =
      switch (error as? IOError)?.errnoCode {
      case EADDRINUSE: "one that is in use: another program listens there (--port chooses another, 0 any)"
      case EACCES: "one that needs more rights (--port above 1023 needs none)"
      case EADDRNOTAVAIL: "one that this machine does not have (--host)"
      default: "\(error)"
      }
    return FormatError(path: "\(host):\(port)", expected: "an address to listen at", found: found)
  }

  // ---- a request ------------------------------------------------------------------------------------------------------

  @Sendable private func respond(
    _ request: Request, _ writer: consuming ResponseWriter, _ channel: any Channel
  )
    async throws
  {
    let begin = ContinuousClock.now
    var headers: [String: String] = [:]
    for field in request.headers { headers[field.name.canonicalName] = field.value }
    let head = ServiceHead(method: request.method.rawValue, path: request.uri.path, headers: headers)
    func note(_ response: ServiceResponse) {
      log?(head.method, head.path, response.status, begin.duration(to: .now).seconds)
    }
    let hasBody = request.method == .post || headers["content-length"].map { $0 != "0" } ?? false
    if let response = service.respond(before: head) {
      note(response)
      try await write(response, writer, head, closes: hasBody)
      if hasBody { try await discard(request.body, channel) }
      return
    }
    if let length = headers["content-length"].flatMap({ Int($0) }), length > limits.bodyBytes {
      let response = service.refuse(tooLarge, head)
      note(response)
      try await write(response, writer, head, closes: true)
      return try await discard(request.body, channel)
    }
    if headers["expect"]?.lowercased() == "100-continue" {
      try await writer.writeInformationalHead(HTTPResponse(status: .continue))
    }
    // The connection belongs to this request from here on: that is how its end is seen while the answer is made.
    var unused: ResponseWriter? = writer
    do {
      try await request.body.consumeWithCancellationOnInboundClose { body in
        let response: ServiceResponse
        do {
          response = await service.respond(head, try await read(body))
        } catch let error as ServingError {
          response = service.refuse(error, head)
        }
        note(response)
        try await write(response, unused.take()!, head, closes: true)
      }
    } catch is CancellationError {}
    channel.close(promise: nil)
  }

  /// Bytes of a refused body that are read.
  private static let mostDropped = 64 << 20
  /// So many of the largest bodies are held while they come.
  private static let bodiesAtOnce = 16

  private var tooLarge: ServingError {
    ServingError(.tooLarge, "the body is larger than \(limits.bodyBytes) bytes (--max-body)")
  }

  /// The whole of a body.
  private func read(_ body: RequestBody) async throws -> [UInt8] {
    let (limits, tooLarge, share) = (limits, tooLarge, HeldBytes.Share(of: bodies))
    return try await withThrowingTaskGroup(of: [UInt8]?.self) { group in
      group.addTask {
        var bytes: [UInt8] = []
        // From here on a body that is too large is only read so that its client comes to read the response.
        var end: ContinuousClock.Instant?
        var dropped = 0
        for try await part in body {
          if let end {
            dropped += part.readableBytes
            guard ContinuousClock.now < end, dropped < Self.mostDropped else { throw tooLarge }
          } else if bytes.count + part.readableBytes > limits.bodyBytes {
            (bytes, end) = ([], .now + .seconds(2))
          } else {
            guard share.take(part.readableBytes, most: Self.bodiesAtOnce * limits.bodyBytes) else {
              throw ServingError(.overloaded, "too many large requests come at once; try again later")
            }
            bytes += part.readableBytesView
          }
        }
        if end != nil { throw tooLarge }
        return bytes
      }
      group.addTask {
        try await Task.sleep(for: limits.requestTime)
        return nil
      }
      defer { group.cancelAll() }
      guard let bytes = try await group.next()! else {
        throw ServingError(
          .requestTimeout, "the request did not come within \(limits.requestTime.components.seconds) s")
      }
      return bytes
    }
  }

  /// Reads what a client still sends for a moment, so that it comes to read the response, and closes the connection.
  private func discard(_ body: RequestBody, _ channel: any Channel) async throws {
    let deadline = ContinuousClock.now + .seconds(2)
    let timer = channel.eventLoop.scheduleTask(in: .seconds(3)) { channel.close(promise: nil) }
    defer { timer.cancel() }
    var dropped = 0
    for try await part in body {
      dropped += part.readableBytes
      if ContinuousClock.now > deadline || dropped > Self.mostDropped { break }
    }
    channel.close(promise: nil)
  }

  private func write(
    _ response: ServiceResponse, _ writer: consuming ResponseWriter, _ head: ServiceHead, closes: Bool
  ) async throws {
    var fields: HTTPFields = [.contentType: response.contentType]
    for (name, value) in response.headers {
      if let name = HTTPField.Name(name) { fields[name] = value }
    }
    if closes { fields[.connection] = "close" }
    let status = HTTPResponse.Status(code: response.status)
    switch response.body {
    case .whole(let text):
      fields[.contentLength] = String(text.utf8.count)
      let body = head.method == "HEAD" ? ResponseBody() : ResponseBody(byteBuffer: ByteBuffer(string: text))
      try await writer.write(response: HTTPResponse(status: status, headerFields: fields), body: body)
    case .stream(let texts):
      fields[.cacheControl] = "no-cache"
      var body = try await writer.writeHead(HTTPResponse(status: status, headerFields: fields))
      for await text in texts { try await body.write(ByteBuffer(string: text)) }
      try await body.finish(nil)
    }
  }
}

/// Bytes of requests that are coming.
private final class HeldBytes: Sendable {
  private let count = Atomic<Int>(0)

  /// Those of one request, given back with the last reference.
  final class Share: Sendable {
    private let all: HeldBytes
    private let count = Atomic<Int>(0)

    init(of all: HeldBytes) { self.all = all }

    deinit { all.count.subtract(count.load(ordering: .relaxed), ordering: .relaxed) }

    /// - Returns: whether all requests together hold no more than may be then.
    func take(_ bytes: Int, most: Int) -> Bool {
      count.add(bytes, ordering: .relaxed)
      return all.count.add(bytes, ordering: .relaxed).newValue <= most
    }
  }
}

extension Duration {
  fileprivate var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
