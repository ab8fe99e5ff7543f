-- The documented functions of Aurora's extension pg_ad_mapping ("Using functions from the pg_ad_mapping extension").
-- What it does at a login, the local run does by pg_ident.conf: see local/servers/postgres.py.

DO $$
BEGIN
    IF NOT current_setting('shared_preload_libraries') ~ '\mpg_ad_mapping\M' THEN
        RAISE EXCEPTION 'pg_ad_mapping must be loaded via shared_preload_libraries';
    END IF;
END $$;

CREATE TABLE @extschema@.pgadmap_mappings (
    ad_sid text NOT NULL, pg_role text NOT NULL, weight integer NOT NULL, ad_grp text NOT NULL,
    UNIQUE (ad_sid, pg_role, weight)
);

CREATE FUNCTION @extschema@.pgadmap_set_mapping(ad_group text, db_role text, ad_group_sid text, weight integer DEFAULT 1)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT pg_has_role(session_user, 'rds_superuser', 'member') THEN
        RAISE EXCEPTION 'only rds_superuser can set a mapping' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF coalesce(ad_group, '') = '' OR coalesce(db_role, '') = '' OR coalesce(ad_group_sid, '') NOT LIKE 'S-1-%' THEN
        RAISE EXCEPTION 'invalid mapping';
    END IF;
    INSERT INTO @extschema@.pgadmap_mappings VALUES (ad_group_sid, db_role, weight, ad_group);
END $$;

CREATE FUNCTION @extschema@.pgadmap_read_mapping()
RETURNS TABLE (ad_sid text, pg_role text, weight integer, ad_grp text)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS 'SELECT * FROM @extschema@.pgadmap_mappings';

CREATE FUNCTION @extschema@.pgadmap_reset_mapping(ad_group_sid text, db_role text, weight integer)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    IF NOT pg_has_role(session_user, 'rds_superuser', 'member') THEN
        RAISE EXCEPTION 'only rds_superuser can reset a mapping' USING ERRCODE = 'insufficient_privilege';
    END IF;
    DELETE FROM @extschema@.pgadmap_mappings m WHERE m.ad_sid = $1 AND m.pg_role = $2 AND m.weight = $3;
END $$;
