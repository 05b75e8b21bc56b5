import IngotSystem
import IngotTensors

/// What becomes of each tensor: role → encoding and quantizer. Made from a recipe, or read from a file.
public struct Plan: Sendable {
  /// What one tensor becomes.
  public struct Assignment: Hashable, Sendable {
    public var encoding: Encoding
    /// Name of the quantizer that chooses the codes; nil when the tensor is carried through bit for bit.
    public var quantizer: String?

    public init(encoding: Encoding, quantizer: String?) {
      self.encoding = encoding
      self.quantizer = quantizer
    }
  }

  /// Name of the recipe.
  public var name: String
  /// By roles of the model without the experts that are dropped.
  public var assignments: [Role: Assignment]
  /// Experts that are left out before anything else happens; nil for none.
  public var dropped: DroppedExperts?
  /// What was asked for, of tensors that got another encoding because it does not fit their rows.
  public var fallbacks: [Role: Encoding] = [:]

  public init(name: String, assignments: [Role: Assignment], dropped: DroppedExperts? = nil) {
    self.name = name
    self.assignments = assignments
    self.dropped = dropped
  }

  /// One line of a plan's table: tensors of one part that share encoding and quantizer.
  public struct Row: Sendable {
    public var kind: TensorKind
    public var assignment: Assignment
    /// What was asked for, where that does not fit the rows.
    public var asked: Encoding?
    public var tensors: Int
    public var parameters: Int
    public var bytes: Int
  }

  /// The table of the plan for a model, in the order of the forward pass.
  public func rows(_ model: Model) -> [Row] {
    struct Key: Hashable {
      var kind: TensorKind
      var assignment: Assignment
      var asked: Encoding?
    }
    var rows: [Row] = []
    var places: [Key: Int] = [:]
    for tensor in model.tensors {
      guard let assignment = assignments[tensor.role], let bytes = assignment.encoding.bytes(tensor.shape)
      else {
        continue
      }
      let key = Key(kind: tensor.role.kind, assignment: assignment, asked: fallbacks[tensor.role])
      let place = places[key] ?? rows.count
      if place == rows.count {
        places[key] = place
        rows.append(
          Row(
            kind: key.kind, assignment: assignment, asked: key.asked, tensors: 0, parameters: 0, bytes: 0))
      }
      rows[place].tensors += 1
      rows[place].parameters += tensor.count
      rows[place].bytes += bytes
    }
    return rows
  }
}

/// How much each input column of a linear layer matters: mean squared activation, by role, from calibration.
public struct Importance: Sendable {
  public var columns: [Role: [Float]]
  /// Tokens that each mean was taken over, where that is known.
  public var tokens: [Role: Int]

  public init(columns: [Role: [Float]] = [:], tokens: [Role: Int] = [:]) {
    self.columns = columns
    self.tokens = tokens
  }
}
