import IngotModels
import IngotPlanning
import IngotQuantization
import IngotReports
import IngotSystem
import IngotTensors

/// What fits where, for programs and pages.
extension FitChoices {
  /// Every recipe on every machine.
  public var record: JSON {
    [
      "model": model.planRecord, "cache": .string(request.cache.rawValue),
      "context": request.context.map { JSON($0) } ?? .null,
      "machines": .array(machines.map { ["name": .string($0.name), "title": .string($0.title)] }),
      "recipes": .array(recipes), "cells": .array(byEngine.flatMap { $0.cells.joined() }.map(json)),
    ]
  }

  /// Every recipe once, the largest first.
  private var recipes: [JSON] {
    var seen = Set<String>()
    return choices.filter { seen.insert($0.recipe.name).inserted }.sorted { $0.bits > $1.bits }.map {
      choice in
      let weights = choice.weights
      let groups = [
        ("experts", weights.experts), ("attention, routers, norms", weights.shared),
        ("embedding", weights.embedding), ("head", weights.head),
      ]
      return [
        "recipe": .string(choice.recipe.name), "format": JSON(choice.recipe.format),
        "bitsPerWeight": JSON(choice.bits), "bytes": JSON(weights.total),
        "ofSource": JSON(Double(weights.total) / Double(max(model.bytes, 1))),
        "groups": .array(groups.map { ["group": .string($0.0), "bytes": JSON($0.1)] }),
      ]
    }
  }

  private func json(_ cell: FitCell) -> JSON {
    [
      "machine": .string(cell.machine.name), "engine": .string(cell.choice.engine.rawValue),
      "recipe": .string(cell.choice.recipe.name), "bitsPerWeight": JSON(cell.choice.bits),
      "weights": JSON(cell.choice.weights.total),
      "longestContext": cell.longestContext.map { JSON($0) } ?? .null,
      "left": cell.fit.map { JSON($0.left) } ?? .null, "onDisk": cell.fit.map { JSON($0.onDisk) } ?? .null,
      "diskBound": cell.diskBound.map { JSON($0) } ?? .null,
    ]
  }

  /// What some recipes take of a machine.
  public func record(_ rows: [(EngineChoice, Fit)], on machine: Machine) -> JSON {
    [
      "model": model.planRecord,
      "machine": ["name": .string(machine.name), "title": .string(machine.title)],
      "context": JSON(context), "cache": .string(request.cache.rawValue),
      "choices": .array(rows.map { json($0.0, $0.1, machine) }),
    ]
  }

  private func json(_ choice: EngineChoice, _ fit: Fit, _ machine: Machine) -> JSON {
    [
      "machine": .string(machine.name), "engine": .string(choice.engine.rawValue),
      "recipe": .string(choice.recipe.name), "bitsPerWeight": JSON(choice.bits), "context": JSON(context),
      "weights": JSON(fit.weights), "cache": JSON(fit.cache), "buffers": JSON(fit.buffers),
      "capacity": JSON(fit.capacity), "left": JSON(fit.left), "inMainMemory": JSON(fit.inMainMemory),
      "onDisk": JSON(fit.onDisk), "layout": .string(fit.layout), "fits": .bool(fit.fits),
      "tokensPerSecondBound": fit.bound.map { JSON($0) } ?? .null,
    ]
  }
}
