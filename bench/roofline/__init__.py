"""How near an engine comes to what the machine could do: work counted from the graph, ceilings measured."""
