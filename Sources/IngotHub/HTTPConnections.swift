import CIngotHub
import IngotSystem
import Synchronization

/// An answer to a request, or what became of it.
struct HTTPAnswer: Sendable {
  /// Why no whole answer came, in libcurl's words; nil for one that did.
  var fault: String?
  /// libcurl's code of the fault.
  var code: Int
  /// 0 when none came.
  var status: Int
  /// Bytes of what was asked for that are in the caller's memory.
  var received: Int
  /// Of Content-Range; the total alone where the range is not there.
  var range: Range<Int>?
  var total: Int?
  var isOverlong: Bool
  var location: String?
  var linkedSize: Int?
  var linkedTag: String?
  var commit: String?
  var errorCode: String?
  var errorMessage: String?
  var contentType: String
  /// Seconds.
  var retryAfter: Int?
  /// The beginning of another body than the one that was asked for.
  var text: String
}

/// Connections that are open to servers, each used by one thread at a time.
final class HTTPConnections: Sendable {
  @safe private final class Connection: @unchecked Sendable {
    let pointer: OpaquePointer

    init?() {
      guard let pointer = unsafe ingot_http_begin() else { return nil }
      unsafe self.pointer = pointer
    }

    deinit { unsafe ingot_http_end(pointer) }
  }

  private let idle = Mutex<[Connection]>([])
  private let agent: String
  private let settings: HubSettings

  init(_ settings: HubSettings, agent: String) {
    self.settings = settings
    self.agent = agent
  }

  /// Why there can be no connection on this machine; nil where libcurl is there.
  static var problem: String? { unsafe ingot_http_missing().map { unsafe String(cString: $0) } }

  /// Bytes that have come over the network since the process began.
  static var receivedBytes: Int { Int(clamping: ingot_http_received()) }

  /// Asks for an address, or for some bytes of what is there.
  ///
  /// - Parameters:
  ///   - token: for the server of this very address.
  ///   - range: of the file; nil for all of it.
  ///   - size: of the file, where a range is asked for.
  ///   - out: gets the bytes asked for, as many as come.
  func get(
    _ address: HubAddress, token: String?, range: Range<Int>?, of size: Int, into out: inout MutableRawSpan
  )
    -> HTTPAnswer
  {
    guard let connection = idle.withLock({ $0.popLast() }) ?? Connection() else {
      return HTTPAnswer(fault: "no memory for a connection")
    }
    defer { idle.withLock { $0.append(connection) } }
    var response = ingot_http_response()
    // The address and what goes with it live until the call returns.
    let authorization = token.map { "Bearer " + $0 }
    unsafe out.withUnsafeMutableBytes { body in
      unsafe address.text.withCString { url in
        unsafe agent.withCString { agent in
          unsafe withOptional(authorization) { authorization in
            unsafe withOptional(settings.certificates) { certificates in
              var request = unsafe ingot_http_request()
              unsafe request.url = url
              unsafe request.agent = agent
              unsafe request.authorization = authorization
              unsafe request.certificates = certificates
              unsafe request.first = Int64(range?.lowerBound ?? 0)
              unsafe request.last = Int64(range?.upperBound ?? 0) - 1
              unsafe request.size = Int64(size)
              unsafe request.connect_seconds = max(settings.stallSeconds, 5)
              unsafe request.stall_seconds = settings.stallSeconds
              unsafe request.body = body.baseAddress?.assumingMemoryBound(to: UInt8.self)
              unsafe request.capacity = body.count
              unsafe request.stop = { Hub.isStopped ? 1 : 0 }
              unsafe ingot_http_get(connection.pointer, &request, &response)
            }
          }
        }
      }
    }
    return HTTPAnswer(response)
  }
}

private func withOptional<Result>(_ text: String?, _ body: (UnsafePointer<CChar>?) -> Result) -> Result {
  guard let text else { return body(nil) }
  return unsafe text.withCString { unsafe body($0) }
}

extension HTTPAnswer {
  fileprivate init(fault: String) {
    self.fault = fault
    (code, status, received, isOverlong, contentType, text) = (-1, 0, 0, false, "", "")
  }

  fileprivate init(_ response: ingot_http_response) {
    var response = response
    func text<T>(_ field: inout T) -> String {
      unsafe withUnsafeBytes(of: &field) { bytes in
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
    }
    func optional<T>(_ field: inout T) -> String? {
      let text = text(&field)
      return text.isEmpty ? nil : text
    }
    code = Int(response.code)
    fault = response.code == 0 ? nil : text(&response.message)
    status = Int(response.status)
    received = response.received
    isOverlong = response.overlong != 0
    if response.range_first >= 0, response.range_last >= response.range_first {
      range = Int(response.range_first)..<Int(response.range_last) + 1
    }
    total = response.range_total >= 0 ? Int(response.range_total) : nil
    linkedSize = response.linked_size >= 0 ? Int(response.linked_size) : nil
    retryAfter = response.retry_after >= 0 ? response.retry_after : nil
    location = optional(&response.location)
    linkedTag = optional(&response.linked_etag)
    commit = optional(&response.commit)
    errorCode = optional(&response.error_code)
    errorMessage = optional(&response.error_message)
    contentType = text(&response.content_type)
    let length = response.text_length
    self.text = unsafe withUnsafeBytes(of: &response.text) { bytes in
      unsafe String(decoding: bytes.prefix(length), as: UTF8.self)
    }
  }
}
