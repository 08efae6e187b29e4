def test_bundle_opens(small_bundle, token_bundle):
    from rnn_deploy.bundle import open_bundle

    assert open_bundle(small_bundle).manifest.entries
    assert open_bundle(token_bundle).manifest.entries
