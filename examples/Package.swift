// swift-tools-version: 6.2
import PackageDescription

/// A program that uses the library from another package.
func program(_ name: String) -> Target {
  .executableTarget(
    name: name, dependencies: [.product(name: "Ingot", package: "Ingot")],
    swiftSettings: [.swiftLanguageMode(.v6)])
}

let package = Package(
  name: "examples",
  platforms: [.macOS(.v26)],
  dependencies: [.package(name: "Ingot", path: "..")],
  targets: ["inspect", "quantize-and-verify", "custom-quantizer", "custom-family"].map(program)
)
