"""CONDUCT: the only place where rooms meet.

``plan`` says what will be measured, ``conduct`` does it, ``ledger`` collects what came of it. Knows no pytest.
"""
