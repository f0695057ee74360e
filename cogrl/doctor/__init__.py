"""Checks of a whole run before its first step: audio contract, tokens, rewards, memory and disk, all in one report.

What a constructor, a manifest's reader or `Stage.check` refuses by itself is called here and not checked a second time.
"""
