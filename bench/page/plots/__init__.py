"""Plots of facts as SVG that stands inside the page: no script, no network, colours that follow its scheme."""
