"""Attribution methods behind one contract: what did the model's decision rest on?"""
