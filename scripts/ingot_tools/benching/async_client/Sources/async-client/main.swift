// What http_client.c does, by async-http-client.
import AsyncHTTPClient
import Foundation
import NIOCore

let arguments = CommandLine.arguments
guard arguments.count == 5, let bytes = Int(arguments[2]), let range = Int(arguments[3]),
  let connections = Int(arguments[4])
else { exit(64) }

/// - Returns: bytes that came.
nonisolated func take(_ address: String, bytes: Int, range: Int, connections: Int) async throws -> Int {
  let client = HTTPClient.shared
  return try await withThrowingTaskGroup(of: Int.self) { group in
    for worker in 0..<connections {
      group.addTask {
        var sum = 0
        var buffer = [UInt8](repeating: 0, count: range)
        for first in stride(from: worker * range, to: bytes, by: connections * range) {
          var request = HTTPClientRequest(url: address)
          request.headers.add(name: "Range", value: "bytes=\(first)-\(min(first + range, bytes) - 1)")
          let response = try await client.execute(request, timeout: .seconds(600))
          guard response.status == .partialContent else { throw HTTPClientError.remoteConnectionClosed }
          var at = 0
          for try await part in response.body {
            part.withUnsafeReadableBytes { part in
              buffer.withUnsafeMutableBytes { buffer in
                buffer.baseAddress!.advanced(by: at).copyMemory(
                  from: part.baseAddress!, byteCount: part.count)
              }
            }
            at += part.readableBytes
          }
          sum += at
        }
        return sum
      }
    }
    var sum = 0
    for try await part in group { sum += part }
    return sum
  }
}

let start = ContinuousClock.now
let received = try await take(arguments[1], bytes: bytes, range: range, connections: connections)
let time = ContinuousClock.now - start
guard received == bytes else { exit(1) }
print(time / .seconds(1), Double(clock()) / Double(CLOCKS_PER_SEC))
