"""JUDGEMENT: Measurement and documents to Verdict.

Pure: sees measurements and baseline documents, never a running system; calls no clock and no random generator.
"""
