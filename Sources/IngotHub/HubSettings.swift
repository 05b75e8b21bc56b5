import IngotFormats
import IngotSystem

/// How the Hugging Face Hub is reached: what the environment says, as huggingface_hub reads it.
public struct HubSettings: Sendable {
  /// `https://huggingface.co`, or $HF_ENDPOINT.
  public var endpoint: String
  /// $HF_TOKEN, or the content of its file; nil for none. It goes to the endpoint's host only.
  public var token: String?
  /// Whether nothing is asked of the network: $HF_HUB_OFFLINE, $TRANSFORMERS_OFFLINE.
  public var isOffline: Bool
  /// Seconds that a transfer may bring nothing before it counts as broken off: $HF_HUB_DOWNLOAD_TIMEOUT.
  public var stallSeconds: Int
  /// A file of trusted certificates in place of the system's: $SSL_CERT_FILE, $REQUESTS_CA_BUNDLE, $CURL_CA_BUNDLE.
  public var certificates: String?
  /// Where the cache is.
  public var cache: HubCache

  /// - Throws: FormatError for a token, an endpoint or a file of it that cannot be used.
  public init() throws(FormatError) { try self.init(environment: HubCache.variable) }

  package init(environment: (String) -> String?) throws(FormatError) {
    func variable(_ name: String) -> String? {
      environment(name).flatMap { $0.isEmpty ? nil : $0 }
    }
    func isTrue(_ name: String) -> Bool {
      variable(name).map { ["1", "ON", "YES", "TRUE"].contains($0.uppercased()) } ?? false
    }
    var endpoint = variable("HF_ENDPOINT") ?? "https://huggingface.co"
    while endpoint.hasSuffix("/") { endpoint.removeLast() }
    guard HubAddress(endpoint) != nil else {
      throw FormatError(
        path: "HF_ENDPOINT", expected: "an address that begins with https:// or http://",
        found: "'\(printable(endpoint, limit: 80))'")
    }
    self.endpoint = endpoint
    isOffline = isTrue("HF_HUB_OFFLINE") || isTrue("TRANSFORMERS_OFFLINE")
    stallSeconds = variable("HF_HUB_DOWNLOAD_TIMEOUT").flatMap { Int($0) }.map { max($0, 1) } ?? 10
    certificates = variable("SSL_CERT_FILE") ?? variable("REQUESTS_CA_BUNDLE") ?? variable("CURL_CA_BUNDLE")
    let cache = HubCache(environment: environment)
    self.cache = cache
    token = try HubSettings.token(
      variable("HF_TOKEN") ?? variable("HUGGING_FACE_HUB_TOKEN"), file: cache.tokenFile,
      isWanted: !isTrue("HF_HUB_DISABLE_IMPLICIT_TOKEN"))
  }

  private static func token(_ given: String?, file: String, isWanted: Bool) throws(FormatError) -> String? {
    guard isWanted else { return nil }
    var (text, place) = (given, "HF_TOKEN")
    if text == nil, Folder.kind(file) == .file {
      (text, place) = (String(decoding: try Bytes.mapping(file).array.prefix(4096), as: UTF8.self), file)
    }
    guard let token = text?.split(whereSeparator: \.isWhitespace).joined(separator: " "), !token.isEmpty
    else {
      return nil
    }
    // Its characters are no one's to see.
    guard token.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
      throw FormatError(
        path: place, expected: "a token of letters, digits and signs", found: "other characters in it")
    }
    return token
  }
}

/// An address on the network, as far as it decides who may see the token.
struct HubAddress: Equatable, Sendable {
  var text: String
  /// `https` or `http`.
  var scheme: String
  /// Host and port, in lower case.
  var host: String

  /// - Returns: nil for anything but http and https with a host.
  init?(_ text: String) {
    guard let match = text.prefixMatch(of: /(https?):\/\/([^\/?#@\s]+)(?=[\/?#]|$)/.ignoresCase()) else {
      return nil
    }
    self.text = text
    scheme = match.1.lowercased()
    var host = match.2.lowercased()
    let usual = scheme == "https" ? ":443" : ":80"
    if host.hasSuffix(usual) { host.removeLast(usual.count) }
    self.host = host
  }

  func isSameHost(as other: HubAddress) -> Bool { scheme == other.scheme && host == other.host }
}

extension String {
  /// As a part of a path in an address: everything but letters, digits and `-._~` as %XX, and `/` too unless it is kept.
  func percentEncoded(keepingSlashes: Bool = false) -> String {
    var out = ""
    for byte in utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"):
        out.unicodeScalars.append(Unicode.Scalar(byte))
      case UInt8(ascii: "/") where keepingSlashes: out += "/"
      default: out += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
      }
    }
    return out
  }
}
