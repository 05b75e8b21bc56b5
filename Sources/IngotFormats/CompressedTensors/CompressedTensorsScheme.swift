import IngotModels
import IngotSystem
import IngotTensors

/// How compressed-tensors describes an encoding: the `weights` of a config group, and the name of its packing.
struct CompressedTensorsScheme: Hashable {
  let encoding: Encoding

  static let widths = [3, 4, 8]
  static let groups = [32, 64, 128]

  /// Why an encoding has no place here; nil when it has one.
  static func refusal(_ encoding: Encoding) -> String? {
    switch encoding {
    case .dense(.f8e4m3), .dense(.f8e5m2): return "FP8 values without scales"
    case .dense: return nil
    case .blockScaled: return "FP8 in blocks beside packed codes; recipe 'w4a16' quantizes such tensors too"
    case .columnPacked, .ggml, .trellis, .tiles:
      return "engines have no such codes here; recipe 'w4a16' writes new ones"
    case .microScaled(let scheme):
      return scheme == .mxfp4 || scheme == .nvfp4Global
        ? nil
        : "engines have kernels for mx-fp4 and for 'nv-fp4 global'; recipes 'mxfp4' and 'nvfp4' write these"
    case .affine(let scheme):
      let name = scheme.bits == 8 ? "w8a16" : "w4a16"
      if scheme.offset != .symmetric {
        return
          "engines load only symmetric experts here; recipe '\(name)' writes int\(scheme.bits == 8 ? 8 : 4) sym"
      }
      if scheme.scale != .bf16 {
        return
          "engines round scales to the model's BF16 when they load them; recipe '\(name)' has BF16 scales"
      }
      guard widths.contains(scheme.bits), scheme.group.map({ groups.contains($0) }) ?? false else {
        return
          "engines have kernels for int3, int4 and int8 in groups of 32, 64 or 128; recipe '\(name)' has these"
      }
      return nil
    }
  }

  /// Name of the packing, `format` in the config; nil for an encoding without codes.
  var format: String? {
    switch encoding {
    case .affine: "pack-quantized"
    case .microScaled(let scheme): scheme.hasGlobal ? "nvfp4-pack-quantized" : "mxfp4-pack-quantized"
    case .dense, .blockScaled, .columnPacked, .ggml, .trellis, .tiles: nil
    }
  }

  /// The group's `weights`.
  var weights: JSON {
    switch encoding {
    case .affine(let scheme):
      return [
        "num_bits": JSON(scheme.bits), "type": "int", "symmetric": true,
        "group_size": scheme.group.map { JSON($0) } ?? .null,
        "strategy": scheme.group == nil ? "channel" : "group", "dynamic": false, "actorder": nil,
      ]
    case .microScaled(let scheme):
      return [
        "num_bits": JSON(scheme.bits), "type": "float", "symmetric": true, "group_size": JSON(scheme.group),
        "strategy": scheme.hasGlobal ? "tensor_group" : "group", "dynamic": false, "actorder": nil,
        "scale_dtype": scheme.hasGlobal ? "torch.float8_e4m3fn" : "torch.uint8",
      ]
    case .dense, .blockScaled, .columnPacked, .ggml, .trellis, .tiles: return .null
    }
  }

  /// A group of the config.
  func configGroup(targets: [String]) -> JSON {
    [
      "targets": .array(targets.map { .string($0) }), "weights": weights, "input_activations": nil,
      "output_activations": nil, "format": JSON(format),
    ]
  }
}
