"""`tt demo --mission`: the manual's tutorial of a mission, with a GitHub of its own and nothing from outside.

Three issues become a graph; scripted agents work through it on real branches of a real repository; its checks run, its
pull requests are reviewed and merged. The GitHub is `tinytown.runtime.demo.forge`, on loopback.
"""
